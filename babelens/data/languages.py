"""Language codes: how a folder or an option names a language."""

import re

# ISO 639-1, and the ISO 639-3 codes of larger languages that have no code of two letters.
_CODES = """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en
    eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka
    kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl
    nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw
    ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
    ace arz ast bar bcl bho bjn bpy bug bxr ceb chr ckb cmn crh csb diq dsb eml ext fil frr fur gag gan gom got hak haw
    hif hsb ilo jbo kaa kab kbd krc ksh lad lez lij lmo ltg lzh mai mhr min mnw mrj mwl myv mzn nan nap nds new nov nso
    pag pam pap pcd pcm pdc pfl pms pnb pnt rmy rue sah scn sco sgs sux swc swh szl tet tpi tum tyv udm vec vep vls war
    wuu xal xmf yue zea
"""
CODES = frozenset(_CODES.split())


def is_language(name: str) -> bool:
    """Whether a name is a language code: ISO 639, perhaps with a script or region behind a hyphen (`pt-BR`)."""
    code, *parts = re.split(r"[-_]", name)
    return code in CODES and all(re.fullmatch(r"[A-Za-z0-9]{2,8}", part) for part in parts)
