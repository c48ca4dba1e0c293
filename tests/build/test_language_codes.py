import pytest

from babelens.build.language_codes import _SHORT, language_of
from babelens.data.languages import CODES


@pytest.mark.parametrize(
    ("code", "language"),
    [
        ("en", "en"), ("EN", "en"), ("en_XX", "en"), ("de_DE", "de"), ("pt-BR", "pt"), ("zh_CN", "zh"), (" fr ", "fr"),
        ("eng", "en"), ("fra_Latn", "fr"), ("fre", "fr"), ("ger", "de"), ("spa_Latn", "es"), ("zho_Hans", "zh"),
        ("ceb_Latn", "ceb"), ("und", None), ("english", None), ("", None), ("x", None),
    ],
)  # fmt: skip
def test_codes_of_data_sets_and_models(code, language):
    assert language_of(code) == language


def test_short_codes_are_languages():
    assert set(_SHORT.values()) <= CODES
    assert all(len(long) == 3 and len(short) == 2 for long, short in _SHORT.items())


def test_codes_of_mbart_50():
    codes = """
    ar_AR cs_CZ de_DE en_XX es_XX et_EE fi_FI fr_XX gu_IN hi_IN it_IT ja_XX kk_KZ ko_KR lt_LT lv_LV my_MM
    ne_NP nl_XX ro_RO ru_RU si_LK tr_TR vi_VN zh_CN af_ZA az_AZ bn_IN fa_IR he_IL hr_HR id_ID ka_GE km_KH mk_MK ml_IN
    mn_MN mr_IN pl_PL ps_AF pt_XX sv_SE sw_KE ta_IN te_IN th_TH tl_XX uk_UA ur_PK xh_ZA gl_ES sl_SI
    """
    assert {language_of(code) for code in codes.split()} == {code[:2] for code in codes.split()}
