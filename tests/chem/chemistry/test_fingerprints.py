"""Fingerprints against RDKit's own bit vectors, Tanimoto against counting, descriptors against single calls."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem import Descriptors, rdFingerprintGenerator

from seqchem.chemistry.fingerprints import descriptors, morgan, tanimoto

SMILES = ["CC(=O)Oc1ccccc1C(=O)O", "Cn1c(=O)c2c(ncn2C)n(C)c1=O", "CCO", "OC(=O)c1ccccc1O", "C[C@H](N)C(=O)O"]


@pytest.mark.parametrize(("radius", "bits"), [(2, 2048), (2, 1024), (3, 256)])
def test_bits_and_similarities_are_those_of_rdkit(radius, bits):
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits)
    vectors = [generator.GetFingerprint(Chem.MolFromSmiles(smiles)) for smiles in SMILES]
    found = morgan(SMILES, radius, bits)
    assert found.shape == (5, bits)
    assert found.dtype == np.uint8
    assert [set(np.flatnonzero(row)) for row in found] == [set(vector.GetOnBits()) for vector in vectors]
    expected = [DataStructs.BulkTanimotoSimilarity(vector, vectors) for vector in vectors]
    assert tanimoto(found, found) == pytest.approx(np.array(expected), abs=1e-12)


def test_tanimoto_of_counted_bits():
    first = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], dtype=np.uint8)
    second = np.array([[0, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]], dtype=np.uint8)
    assert tanimoto(first, second).tolist() == [[0.25, 1.0, 0.0], [0.0, 0.0, 0.0]]


def test_descriptors_have_their_names_and_are_finite_or_nan():
    values, names = descriptors([*SMILES, "C" * 150])
    assert values.shape == (6, len(names))
    assert len(set(names)) == len(names) > 200
    molecule = Chem.MolFromSmiles(SMILES[0])
    for name in ("MolWt", "TPSA", "MolLogP", "NumHDonors"):
        assert values[0, names.index(name)] == pytest.approx(getattr(Descriptors, name)(molecule))
    assert np.isfinite(values.astype(np.float32)[~np.isnan(values)]).all()


def test_what_is_no_molecule_is_named():
    for function in (morgan, descriptors):
        with pytest.raises(ValueError, match="number 1, 'x'"):
            function(["CCO", "x"])
    assert morgan([]).shape == (0, 2048)
    assert descriptors([])[0].shape[0] == 0
