"""Codes of languages as data sets and translation models write them, to ISO 639-1."""

import re
from functools import lru_cache

from babelens.data.languages import CODES

# ISO 639-3 (and 639-2 where it has another code) of the languages that have a code of two letters and are met in
# multilingual caption sets and translation models.
_LONG = """
    afr af amh am ara ar arb ar aze az azj az bel be ben bn bul bg cat ca ces cs cze cs cym cy wel cy dan da deu de
    ger de ell el gre el eng en est et eus eu baq eu fas fa per fa pes fa fin fi fra fr fre fr gle ga glg gl guj gu
    hau ha heb he hin hi hrv hr hun hu hye hy arm hy ibo ig ind id isl is ice is ita it jpn ja kan kn kat ka geo ka
    kaz kk khk mn khm km kor ko lao lo lav lv lvs lv lit lt mal ml mar mr mkd mk mac mk mon mn msa ms may ms zsm ms
    mya my bur my nep ne npi ne nld nl dut nl nob nb nor no ory or pan pa pol pl por pt ron ro rum ro rus ru sin si
    slk sk slo sk slv sl spa es sqi sq alb sq als sq srp sr swa sw swe sv tam ta tel te tgl tl tha th tur tr ukr uk
    urd ur uzb uz uzn uz vie vi xho xh yor yo zho zh chi zh zul zu
"""
_SHORT: dict[str, str] = dict(zip(_LONG.split()[::2], _LONG.split()[1::2], strict=True))


@lru_cache(maxsize=4096)
def language_of(code: str) -> str | None:
    """The language of a code: en, EN, en-GB, en_XX (mBART), eng, eng_Latn (NLLB) are "en"; None if it is none.

    Languages without a code of two letters keep that of three.
    """
    first: str = re.split(r"[-_]", code.strip())[0].lower()
    first = _SHORT.get(first, first)
    return first if first in CODES else None
