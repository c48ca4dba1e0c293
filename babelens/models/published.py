"""What was published of each model of the zoo: who, when, and which scores; facts to compare with."""

from typing import NamedTuple


class Published(NamedTuple):
    """A model's source and its published micro-F1 (per cent); None where no figure is known.

    `twitter2015` and `twitter2017` are overall scores on those sets (text and pictures where the model reads them);
    they were printed by the paper on UMT (Yu et al., 2020) and, for UMGF, by its own authors. `all_languages` and
    `english` stand in Table 5 of the 2M-NER paper, on MMNERD; `text_only` are the same two of Table 7.
    """

    year: int | None
    source: str
    twitter2015: float | None = None
    twitter2017: float | None = None
    all_languages: float | None = None
    english: float | None = None
    text_only: tuple[float, float] | None = None


# The F1 of BiLSTM-CRF on English MMNERD is worked out from the precision and recall that the table prints.
PUBLISHED: dict[str, Published] = {
    "bilstm-crf": Published(2015, "Huang, Xu and Yu", 64.42, 76.31, 62.20, 62.68),
    "hbilstm-crf": Published(2016, "Lample et al.", 69.17, None, 64.36, 64.32),
    "cnn-bilstm-crf": Published(2016, "Ma and Hovy", 67.15, 79.37),
    "bert": Published(2019, "Devlin et al.", 71.32, 82.95, 68.22, 68.24),
    "bert-crf": Published(2019, "Devlin et al., with a CRF", 71.81, 83.44, 69.26, 69.64),
    "adacan": Published(2018, "Zhang et al.", None, None, 59.69, 60.28, (59.07, 59.41)),
    "umt": Published(2020, "Yu et al.", 73.41, 85.31, 70.15, 70.51, (69.77, 69.95)),
    "umgf": Published(2021, "Zhang et al.", 74.85, 85.51, 67.82, 67.18, (66.93, 67.32)),
    "mkgformer": Published(2022, "Chen et al.", None, None, 65.71, 65.13, (65.44, 64.70)),
    "2m-ner": Published(2024, "Wang et al.", None, None, 70.49, 70.77, (69.75, 69.99)),
    "2m-ner-official": Published(2024, "Wang et al., published code", None, None, 70.49, 70.77, (69.75, 69.99)),
}

# What is said of a model that is not of the literature.
OWN = Published(None, "own")
