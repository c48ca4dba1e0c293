"""Translators: what turns texts of one language into texts of another, as the models of transformers do it.

Texts go through tokenizer and model here, without a pipeline. Each family has its own way to say the language: Marian
has a model for each pair (or a token such as `>>fra<<` before the text, where a model knows several targets); M2M-100
and NLLB have codes for the source, and the code of the target is forced to be the first token of the translation.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from babelens.data.problems import listing, quote
from babelens.schema import InputError

# Languages as NLLB-200 names them, where a language has one usual script; its first part is the ISO 639-3 code, which
# newer Marian models use. Others are named by their code itself.
_NLLB = """
    af:afr_Latn am:amh_Ethi ar:arb_Arab az:azj_Latn be:bel_Cyrl bg:bul_Cyrl bn:ben_Beng bs:bos_Latn ca:cat_Latn
    cs:ces_Latn cy:cym_Latn da:dan_Latn de:deu_Latn el:ell_Grek en:eng_Latn eo:epo_Latn es:spa_Latn et:est_Latn
    eu:eus_Latn fa:pes_Arab fi:fin_Latn fr:fra_Latn ga:gle_Latn gl:glg_Latn gu:guj_Gujr he:heb_Hebr hi:hin_Deva
    hr:hrv_Latn hu:hun_Latn hy:hye_Armn id:ind_Latn is:isl_Latn it:ita_Latn ja:jpn_Jpan ka:kat_Geor kk:kaz_Cyrl
    km:khm_Khmr kn:kan_Knda ko:kor_Hang lo:lao_Laoo lt:lit_Latn lv:lvs_Latn mk:mkd_Cyrl ml:mal_Mlym mr:mar_Deva
    ms:zsm_Latn mt:mlt_Latn my:mya_Mymr ne:npi_Deva nl:nld_Latn no:nob_Latn pa:pan_Guru pl:pol_Latn ps:pbt_Arab
    pt:por_Latn ro:ron_Latn ru:rus_Cyrl si:sin_Sinh sk:slk_Latn sl:slv_Latn so:som_Latn sq:als_Latn sr:srp_Cyrl
    sv:swe_Latn sw:swh_Latn ta:tam_Taml te:tel_Telu th:tha_Thai tl:tgl_Latn tr:tur_Latn uk:ukr_Cyrl ur:urd_Arab
    uz:uzn_Latn vi:vie_Latn xh:xho_Latn yo:yor_Latn zh:zho_Hans zu:zul_Latn
"""
NLLB_CODES: dict[str, str] = {code.split(":")[0]: code.split(":")[1] for code in _NLLB.split()}
_LONGEST = 512  # sub-tokens; tokenizers that know no limit of their own name a number of thirty digits
_MORE, _TIMES = 32, 3


@runtime_checkable
class Translator(Protocol):
    """Translates texts from one language (ISO 639-1) to another: one translation a text, "" where it has none."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Translate texts, in their order."""
        ...


class ModelTranslator:
    """A sequence-to-sequence model of transformers: Marian, M2M-100, NLLB and what works as they do.

    The most probable translation is searched greedily (`beams=1`) or with beams; nothing is drawn, so there is no seed.
    Texts of about the same length go through the model together, `batch` at once. A text that the model cannot read at
    once, and one whose translation comes to no end within three times its length, have no translation: half a sentence
    would be taken for the whole. `codes` names languages as the model does, where that is neither ISO 639-1 nor the
    code of NLLB-200.
    """

    def __init__(
        self, model: Any, tokenizer: Any, *, beams: int = 4, batch: int = 32, codes: Mapping[str, str] | None = None
    ) -> None:
        if beams < 1 or batch < 1:
            raise InputError(f"translator: expected at least one beam and one text at once, found {beams} and {batch}")
        self.model, self.tokenizer = model.eval(), tokenizer
        self.beams, self.batch = beams, batch
        self.codes = dict(codes or {})
        limits = (tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", _LONGEST))
        self.limit: int = min(_LONGEST, *limits)
        """The most sub-tokens of a text, and of a translation."""

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Translate texts, in their order.

        Raises:
            InputError: the model does not know one of the languages.
        """
        prefix, forced = self._languages(source, target)
        encoded: list[list[int]] = [self.tokenizer(prefix + text)["input_ids"] for text in texts]
        fitting = [number for number, ids in enumerate(encoded) if texts[number].strip() and len(ids) <= self.limit]
        fitting.sort(key=lambda number: len(encoded[number]))
        made = [""] * len(texts)
        for start in range(0, len(fitting), self.batch):
            part = fitting[start : start + self.batch]
            for number, text in zip(part, self._generate([encoded[number] for number in part], forced), strict=True):
                made[number] = text
        return made

    def _generate(self, encoded: Sequence[Sequence[int]], forced: int | None) -> list[str]:
        import torch

        width = max(map(len, encoded))
        inputs = self.tokenizer.pad({"input_ids": list(encoded)}, return_tensors="pt").to(self.model.device)
        with torch.inference_mode():
            output = self.model.generate(
                **inputs,
                num_beams=self.beams,
                do_sample=False,
                max_new_tokens=min(self.limit, _TIMES * width + _MORE),
                forced_bos_token_id=forced,
                forced_eos_token_id=None,  # a cut translation would look like a whole one
            )
        first = 1 if forced is None else 2
        # Not every tokenizer counts the code of a language among the tokens that decoding leaves out.
        rows = [row[first:] for row in output.tolist()]
        end = self.tokenizer.eos_token_id
        said = [self.tokenizer.decode(row, skip_special_tokens=True) for row in rows]
        return [text if end in row else "" for text, row in zip(said, rows, strict=True)]

    def _languages(self, source: str, target: str) -> tuple[str, int | None]:
        """What stands before each text, and the token that a translation begins with."""
        if hasattr(self.tokenizer, "src_lang"):
            known = getattr(self.tokenizer, "lang_code_to_id", None) or self.tokenizer.get_added_vocab()
            self.tokenizer.src_lang = self._code(source, known)
            return "", known[self._code(target, known)]
        tokens = getattr(self.tokenizer, "supported_language_codes", ())
        if tokens:
            known = {token.removeprefix(">>").removesuffix("<<"): token for token in tokens}
            return f"{known[self._code(target, known)]} ", None
        return "", None

    def _code(self, language: str, known: Mapping[str, Any]) -> str:
        usual = NLLB_CODES.get(language, language)
        for code in (self.codes.get(language, language), usual, usual.split("_")[0]):
            if code in known:
                return code
        shown = sorted(code for code in known if code.isidentifier())
        raise InputError(
            f"translator: expected a language that the model knows ({listing(shown[:12])}, ...), found {language!r}"
        )


class PairTranslator:
    """A model for each pair of languages, by a name with `{source}` and `{target}`; the last one is kept loaded."""

    def __init__(self, template: str, **options: Any) -> None:
        self.template, self.options = template, options
        self._loaded: tuple[str, ModelTranslator] | None = None

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Translate texts, in their order.

        Raises:
            InputError: there is no model for the pair.
        """
        name = self.template.replace("{source}", source).replace("{target}", target)
        if self._loaded is None or self._loaded[0] != name:
            self._loaded = None
            self._loaded = (name, _load_model(name, **self.options))
        return self._loaded[1].translate(texts, source, target)


def load_translator(
    name: str,
    *,
    device: str = "cpu",
    beams: int = 4,
    batch: int = 32,
    codes: Mapping[str, str] | None = None,
) -> Translator:
    """A translation model of transformers, by hub id or folder.

    With `{source}` and `{target}` in the name (`Helsinki-NLP/opus-mt-{source}-{target}`) it is one model for each pair,
    loaded when it is first needed.

    Raises:
        InputError: there is no such model, or a package that it needs is not installed.
    """
    options: dict[str, Any] = {"device": device, "beams": beams, "batch": batch, "codes": codes}
    if "{source}" in name or "{target}" in name:
        return PairTranslator(name, **options)
    return _load_model(name, **options)


def _load_model(name: str, *, device: str, **options: Any) -> ModelTranslator:
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    try:
        with warnings.catch_warnings():
            # Marian asks for sacremoses and then does without: its normaliser is called nowhere in transformers 5.
            warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")
            tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModelForSeq2SeqLM.from_pretrained(name, dtype=torch.float32)
    except ImportError as error:
        raise InputError(
            f"translator {quote(name)}: expected the packages of the extra babelens[build], found: {error}"
        ) from error
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"translator {quote(name)}: expected the hub id or the folder of a translation model, found: {error}"
        ) from error
    return ModelTranslator(model.to(device), tokenizer, **options)
