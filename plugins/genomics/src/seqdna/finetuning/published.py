"""Published results, for the table beside a new run's; constants, nothing here was measured by this project.

Genomic Benchmarks (Gresova et al. 2023) and the Nucleotide Transformer tasks (Dalla-Torre et al. 2023) as
evaluated by Schiff et al. 2024 (Caduceus), Tables 1 and 2: means over 5 and 10 training runs. The second number
is the one printed behind the +- sign, the distance of the largest from the smallest; None where none was noted.

The metric of promoters and of splice acceptors and donors is called F1 and not said to be of one class or the
mean of both; here it is that of the second class.
"""

from __future__ import annotations

from typing import NamedTuple

Value = tuple[float, float | None]


class Published(NamedTuple):
    """One data set.

    Attributes:
        title: Its name in the table.
        metric: What is reported.
        values: One (mean, range) for each of the suite's models.
    """

    title: str
    metric: str
    values: tuple[Value, ...]


GENOMIC_BENCHMARKS_MODELS = (
    "CNN, 264k",
    "HyenaDNA, 436k",
    "Mamba, 468k",
    "Caduceus without equivariance, 470k",
    "Caduceus-Ph, 470k",
    "Caduceus-PS, 470k",
)

GENOMIC_BENCHMARKS: dict[str, Published] = {
    "dummy_mouse_enhancers_ensembl": Published(
        "Mouse enhancers",
        "accuracy",
        ((0.715, 0.087), (0.780, 0.025), (0.743, 0.054), (0.770, 0.058), (0.754, 0.074), (0.793, 0.058)),
    ),
    "demo_coding_vs_intergenomic_seqs": Published(
        "Coding vs intergenomic",
        "accuracy",
        ((0.892, 0.008), (0.904, 0.005), (0.904, 0.004), (0.908, 0.003), (0.915, 0.003), (0.910, 0.003)),
    ),
    "demo_human_or_worm": Published(
        "Human vs worm",
        "accuracy",
        ((0.942, 0.002), (0.964, 0.002), (0.967, 0.002), (0.970, 0.003), (0.973, 0.001), (0.968, 0.002)),
    ),
    "human_enhancers_cohn": Published(
        "Human enhancers Cohn",
        "accuracy",
        ((0.702, 0.021), (0.729, 0.014), (0.732, 0.029), (0.741, 0.008), (0.747, 0.004), (0.745, 0.007)),
    ),
    "human_enhancers_ensembl": Published(
        "Human enhancer Ensembl",
        "accuracy",
        ((0.744, 0.122), (0.849, 0.006), (0.862, 0.008), (0.883, 0.002), (0.893, 0.008), (0.900, 0.006)),
    ),
    "human_ensembl_regulatory": Published(
        "Human regulatory",
        "accuracy",
        ((0.872, 0.005), (0.869, 0.012), (0.814, 0.211), (0.871, 0.007), (0.872, 0.011), (0.873, 0.007)),
    ),
    "human_ocr_ensembl": Published(
        "Human OCR Ensembl",
        "accuracy",
        ((0.698, 0.013), (0.783, 0.007), (0.815, 0.002), (0.818, 0.003), (0.828, 0.006), (0.818, 0.006)),
    ),
    "human_nontata_promoters": Published(
        "Human nonTATA promoters",
        "accuracy",
        ((0.861, 0.009), (0.944, 0.002), (0.933, 0.007), (0.933, 0.006), (0.946, 0.007), (0.945, 0.010)),
    ),
}

NUCLEOTIDE_TRANSFORMER_MODELS = (
    "Enformer, 252M",
    "DNABERT-2, 117M",
    "NT-v2, 500M",
    "HyenaDNA, 1.6M",
    "Caduceus-Ph, 1.9M",
    "Caduceus-PS, 1.9M",
)

NUCLEOTIDE_TRANSFORMER: dict[str, Published] = {
    "H3": Published(
        "H3", "mcc", ((0.719, None), (0.785, None), (0.784, None), (0.779, None), (0.815, None), (0.799, None))
    ),
    "H3K14ac": Published(
        "H3K14ac", "mcc", ((0.288, None), (0.516, None), (0.551, None), (0.612, None), (0.631, None), (0.541, 0.212))
    ),
    "H3K36me3": Published(
        "H3K36me3", "mcc", ((0.344, None), (0.591, None), (0.625, None), (0.613, None), (0.601, 0.129), (0.609, None))
    ),
    "H3K4me1": Published(
        "H3K4me1", "mcc", ((0.291, None), (0.511, None), (0.550, None), (0.512, None), (0.523, None), (0.488, None))
    ),
    "H3K4me2": Published(
        "H3K4me2", "mcc", ((0.211, None), (0.336, None), (0.319, None), (0.455, None), (0.487, 0.170), (0.388, None))
    ),
    "H3K4me3": Published(
        "H3K4me3", "mcc", ((0.158, None), (0.352, None), (0.410, None), (0.549, None), (0.544, None), (0.440, 0.202))
    ),
    "H3K79me3": Published(
        "H3K79me3", "mcc", ((0.496, None), (0.613, None), (0.626, None), (0.672, None), (0.697, None), (0.676, None))
    ),
    "H3K9ac": Published(
        "H3K9ac", "mcc", ((0.420, None), (0.542, None), (0.562, None), (0.581, None), (0.622, None), (0.604, None))
    ),
    "H4": Published(
        "H4", "mcc", ((0.732, None), (0.796, None), (0.799, None), (0.763, None), (0.811, None), (0.789, None))
    ),
    "H4ac": Published(
        "H4ac", "mcc", ((0.273, None), (0.463, None), (0.495, None), (0.564, None), (0.621, None), (0.525, 0.240))
    ),
    "enhancers": Published(
        "Enhancer", "mcc", ((0.451, None), (0.516, None), (0.548, None), (0.517, None), (0.546, None), (0.491, None))
    ),
    "enhancers_types": Published(
        "Enhancer types",
        "mcc",
        ((0.309, None), (0.423, None), (0.424, None), (0.386, None), (0.439, None), (0.416, None)),
    ),
    "promoter_all": Published(
        "Promoter all",
        "f1_binary",
        ((0.954, None), (0.971, None), (0.976, None), (0.960, None), (0.970, None), (0.967, None)),
    ),
    "promoter_no_tata": Published(
        "Promoter nonTATA",
        "f1_binary",
        ((0.955, None), (0.972, None), (0.976, None), (0.959, None), (0.969, None), (0.968, None)),
    ),
    "promoter_tata": Published(
        "Promoter TATA",
        "f1_binary",
        ((0.960, None), (0.955, None), (0.966, None), (0.944, None), (0.953, None), (0.957, None)),
    ),
    "splice_sites_all": Published(
        "Splice all",
        "accuracy",
        ((0.848, None), (0.939, None), (0.983, None), (0.956, None), (0.940, None), (0.927, None)),
    ),
    "splice_sites_acceptors": Published(
        "Splice acceptor",
        "f1_binary",
        ((0.914, None), (0.975, None), (0.981, None), (0.958, None), (0.937, None), (0.936, 0.077)),
    ),
    "splice_sites_donors": Published(
        "Splice donor",
        "f1_binary",
        ((0.906, None), (0.963, None), (0.985, None), (0.949, None), (0.948, None), (0.874, 0.289)),
    ),
}
