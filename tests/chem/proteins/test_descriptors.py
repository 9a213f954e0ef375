"""Properties of peptides against values that other programs publish, and laws of the descriptors."""

from __future__ import annotations

import numpy as np
import pytest

from seqchem.proteins import (
    AMINO_ACIDS,
    PEPTIDE_PROPERTIES,
    boman_index,
    check_proteins,
    peptide_properties,
    protein_descriptors,
    unknown_letters,
)
from seqchem.proteins.descriptors import PEPTIDE_DESCRIPTIONS, hydrophobic_moment
from seqsuite.errors import UserError

MAGAININ = "GIGKFLHSAKKFGKAFVGEIMNS"
BREVININ = "FLPVLAGLTPSIVPKLVCLLTKKC"

# Documentation of R's Peptides (2.4 and 0.4), tests of modlAMP and of GT4SD.
BOMAN = [
    (BREVININ, -1.235833, 6),
    (MAGAININ, 0.42, 2),
    ("GLFDIVKKVVGALG", -1.0479, 4),
    ("KFLIYQMECSTMIFGL", -0.534375, 6),
]
OTHERS = [
    ("aliphatic_index", "GLFDIVKKVVGALG", 152.857, 3),
    ("instability", "GLFDIVKKVVGALG", -8.214, 3),
    ("aromaticity", "GLFDIVKKVVGALG", 0.0714286, 6),
    ("weight", "GLFDIVKKVVGALG", 1415.72, 2),
    ("length", "GLFDIVKKVVGALG", 14, 6),
    ("aliphatic_index", "KFLIYQMECSTMIFGL", 97.5, 6),
    ("instability", "KFLIYQMECSTMIFGL", 36.8375, 4),
    ("hydrophobic_moment", BREVININ, 0.5199226, 7),
]


@pytest.mark.parametrize(("sequence", "published", "places"), BOMAN)
def test_the_boman_index_is_the_published_one(sequence, published, places):
    assert boman_index(sequence) == pytest.approx(published, abs=0.5 * 10**-places)


@pytest.mark.parametrize(("name", "sequence", "published", "places"), OTHERS)
def test_other_properties_are_the_published_ones(name, sequence, published, places):
    assert PEPTIDE_PROPERTIES[name](sequence) == pytest.approx(published, abs=0.51 * 10**-places)


def test_the_moment_of_a_sheet_is_the_published_one():
    assert hydrophobic_moment(BREVININ, angle=160) == pytest.approx(0.271, abs=5e-4)


def test_polar_chains_have_a_positive_index_and_greasy_ones_a_negative():
    assert boman_index("RKDE") > 2.48
    assert boman_index("LIVF") < 0
    assert boman_index("P") == 0


def test_every_property_has_a_description():
    assert PEPTIDE_PROPERTIES.keys() == PEPTIDE_DESCRIPTIONS.keys()


def test_descriptors_are_aligned_with_the_rows():
    texts = [MAGAININ, "ACXD", "", BREVININ]
    values, names = protein_descriptors(texts)
    assert values.shape == (4, len(names))
    assert np.isnan(values[[1, 2]]).all()
    assert np.isfinite(values[[0, 3]]).all()
    np.testing.assert_allclose(values[0, :20].sum(), 1)
    assert values[0, names.index("part_K")] == MAGAININ.count("K") / len(MAGAININ)
    assert values[3, names.index("boman")] == boman_index(BREVININ)
    assert len(set(names)) == len(names)


def test_descriptors_of_nothing():
    values, names = protein_descriptors([])
    assert values.shape == (0, len(names))


def test_composition_does_not_depend_on_the_order_of_letters():
    values, names = protein_descriptors([MAGAININ, MAGAININ[::-1]])
    same = [index for index, name in enumerate(names) if name.startswith("part_")] + [names.index("boman")]
    np.testing.assert_allclose(values[0, same], values[1, same])


def test_what_is_no_protein_is_nan_and_told():
    found = peptide_properties(["boman", "charge"], ["KKLL", "KXL", "kkll", ""])
    assert np.isnan(found["boman"]).tolist() == [False, True, True, True]
    with pytest.raises(UserError, match=r"'KXL' has X, which is none of the twenty"):
        boman_index("KXL")
    with pytest.raises(UserError, match="Did you mean 'boman'"):
        peptide_properties(["bomann"], ["KK"])


def test_unknown_letters_are_told_with_their_rows():
    check_proteins([AMINO_ACIDS, "A"])
    assert unknown_letters("AXBXZ") == "XBZ"
    with pytest.raises(UserError) as told:
        check_proteins(["AC", "AXB", "", "acd", "A C", "U", "O", "J"], rows=range(2, 10), source="p.csv")
    message = str(told.value)
    assert "p.csv: row 3 has X, B, which are none of the twenty amino acids; row 4 is empty" in message
    assert "row 5 is in lower case; row 6 has ' '" in message
    assert message.endswith("and 2 more")
    assert "\n" not in message
