"""The published pre-tokenizers as parts of Hugging Face's tokenizers, by their names in GGUF."""

from tokenizers import Regex, normalizers, pre_tokenizers

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LLAMA3 = (CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN35 = (CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK_V3 = ("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
               "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
               "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")
DEEPSEEK_CJK = "[一-龥ࠀ-一가-\ud7ff]+"
# DeepSeek-LLM's letters with two cases: first and last of each range.
CASED_RANGES = """
41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376 377 37B-37D 37F 386
388-38A 38C 38E-3A1 3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA
1CBD-1CBF 1D00-1D2B 1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59
1F5B 1F5D 1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC
1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 2126 2128 212A-212D 212F-2134 2139
213C-213F 2145-2149 214E 2183 2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2 2CF3 A640-A66D A680-A69B
A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A FF41-FF5A 10400-1044F
104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943
"""


def cased_letters():
    """The expression as DeepSeek-LLM's tokenizer.json spells it."""
    out = ""
    for word in CASED_RANGES.split():
        first, _, last = word.partition("-")
        out += chr(int(first, 16)) + ("-" + chr(int(last, 16)) if last else "")
    return r"\s?[" + out + "]+"


def split(regex):
    return pre_tokenizers.Split(Regex(regex), "isolated")


def byte_level(*splits, use_regex=False):
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)
    return pre_tokenizers.Sequence([*splits, last]) if splits else last


def pipelines():
    """name -> (normalizer or None, pre-tokenizer)"""
    digits = pre_tokenizers.Digits(individual_digits=True)
    nfc = normalizers.NFC()
    smollm = byte_level(digits, use_regex=True)
    return {
        "gpt-2": (None, byte_level(use_regex=True)),
        "mpt": (nfc, byte_level(use_regex=True)),
        "smollm": (None, smollm),
        "starcoder": (None, smollm),
        "refact": (None, smollm),
        "command-r": (nfc, smollm),
        "llama-bpe": (None, byte_level(split(LLAMA3))),
        "qwen2": (nfc, byte_level(split(LLAMA3.replace("{1,3}", "")))),
        "qwen35": (nfc, byte_level(split(QWEN35))),
        "deepseek-llm": (None, byte_level(
            split("[\r\n]"), split(cased_letters()), split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"),
            split(r"\s+$"), split(DEEPSEEK_CJK), digits)),
        "deepseek-coder": (None, byte_level(
            split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(DEEPSEEK_CJK),
            digits)),
        "deepseek-v3": (None, byte_level(
            split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK_V3))),
        "falcon": (None, pre_tokenizers.Sequence([
            pre_tokenizers.Punctuation("contiguous"), byte_level(use_regex=True),
            split("[0-9][0-9][0-9]")])),
    }
