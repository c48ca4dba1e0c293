"""A WordPiece tokenizer learnt from training words, for encoders that start from scratch."""

from collections import Counter
from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer, normalizers, pre_tokenizers, trainers
from tokenizers.models import WordPiece
from transformers import BertTokenizer

from babelens.schema import InputError

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_CONTINUES = "##"


def train_wordpieces(sentences: Iterable[Sequence[str]], size: int) -> BertTokenizer:
    """Learn a cased tokenizer that keeps accents, of at most `size` sub-tokens, all specials of BERT among them.

    The same sentences give the same tokenizer, whatever their order. Characters beyond half the size, rarest first,
    are left to the unknown token.

    Raises:
        InputError: `size` holds no more than the special tokens.
    """
    if size <= len(_SPECIAL):
        raise InputError(f"vocabulary: expected more than {len(_SPECIAL)} sub-tokens, found {size}")
    normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=False
    )
    splitter = pre_tokenizers.BertPreTokenizer()
    words = Counter(word for sentence in sentences for word in sentence)
    parts: Counter[str] = Counter()
    for word, count in words.items():
        for part, _ in splitter.pre_tokenize_str(normalizer.normalize_str(word.encode("utf-8", "ignore").decode())):
            parts[part] += count
    characters: Counter[str] = Counter()
    for part, count in parts.items():
        for place, character in enumerate(part):
            characters[character if place == 0 else _CONTINUES + character] += count
    # The trainer numbers characters in the order of a hash table and breaks ties by number: numbering them beforehand
    # is what makes two runs give the same sub-tokens.
    ranked = sorted(characters, key=lambda character: (-characters[character], character))
    alphabet = ranked[: max(1, (size - len(_SPECIAL)) // 2)]
    kept = set(alphabet)
    texts = sorted(
        part for part in parts if all((c if place == 0 else _CONTINUES + c) in kept for place, c in enumerate(part))
    )
    model = Tokenizer(WordPiece(unk_token="[UNK]"))
    model.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=2,
        show_progress=False,
        special_tokens=[*_SPECIAL, *alphabet],
        continuing_subword_prefix=_CONTINUES,
    )
    model.train_from_iterator((part for part in texts for _ in range(parts[part])), trainer=trainer)
    return BertTokenizer(vocab=model.get_vocab(), do_lower_case=False, strip_accents=False)
