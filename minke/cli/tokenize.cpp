#include <algorithm>
#include <chrono>

#include "minke/cli/command.h"
#include "minke/cli/token_ids.h"
#include "minke/cli/tokenizer_source.h"

namespace minke {
namespace {

class TokenizeCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.positional("MODEL", name_, Flags::Need::kRequired,
                     "a name from minke list, a .gguf file, a tokenizer.json or its folder");
    flags.add("decode,d", decode_, "read ids, print their text");
    flags.add("special", special_, "read written-out control tokens as such");
    flags.add("json", json_, "one JSON document");
    flags.add("lines", lines_,
              "many texts: read JSON strings, one a line; print an array for each");
    flags.add("count", count_, "print how many tokens there are and the speed");
    flags.example("echo -n \"Hello world\" | minke tokenize smollm2-135m --json");
    flags.example("echo 19556 905 | minke tokenize smollm2-135m --decode");
  }

  Result<void> run(const Console& console) override {
    MK_ASSIGN(const Tokenizer tokenizer, find_tokenizer(name_));
    constexpr size_t kInputMax = size_t{1} << 30;  // whole corpora are counted
    MK_ASSIGN(const std::string input, read_stream(console.in, kInputMax));
    if (int{decode_} + int{lines_} + int{count_} > 1) {
      return fail(ErrorCode::kUsage, "--decode, --lines and --count exclude each other");
    }
    if (lines_) return encode_lines(console, tokenizer, input);
    if (count_) return count(console, tokenizer, input);
    return decode_ ? decode(console, tokenizer, input) : encode(console, tokenizer, input);
  }

 private:
  Result<void> decode(const Console& console, const Tokenizer& tokenizer,
                      const std::string& input) const {
    MK_ASSIGN(const std::vector<int32_t> ids, parse_token_ids(input, tokenizer.vocab_size()));
    const std::string text = tokenizer.decode(ids);
    if (json_) {
      console.print_json(Json::object({{"text", text}}));
      return {};
    }
    std::fwrite(text.data(), 1, text.size(), console.out);  // bytes, whatever they are
    return {};
  }

  Result<void> encode(const Console& console, const Tokenizer& tokenizer,
                      const std::string& input) const {
    const std::vector<int32_t> ids =
        tokenizer.encode(std::string_view(input), EncodeOptions{.parse_special = special_});
    if (json_) {
      Json::Array items(ids.begin(), ids.end());
      console.print("{}\n", Json::object({{"ids", std::move(items)}}).dump());
      return {};
    }
    for (const int32_t id : ids) {
      console.print("{:>8}  {}\n", id, Json(tokenizer.token_bytes(id)).dump());
    }
    return {};
  }

  std::vector<int32_t> ids_of(const Tokenizer& tokenizer, std::string_view text) const {
    return tokenizer.encode(text, EncodeOptions{.parse_special = special_});
  }

  Result<void> encode_lines(const Console& console, const Tokenizer& tokenizer,
                            std::string_view input) const {
    for (size_t number = 1; !input.empty(); ++number) {
      const size_t end = std::min(input.find('\n'), input.size());
      const auto text = parse_json(input.substr(0, end));
      if (!text || !text->is_string()) {
        return fail(ErrorCode::kUsage, "line {} of the input is no JSON string", number);
      }
      const auto ids = ids_of(tokenizer, text->as_string());
      console.print("{}\n", Json(Json::Array(ids.begin(), ids.end())).dump());
      input.remove_prefix(std::min(end + 1, input.size()));
    }
    return {};
  }

  Result<void> count(const Console& console, const Tokenizer& tokenizer,
                     std::string_view input) const {
    const auto begin = std::chrono::steady_clock::now();
    const size_t num_tokens = ids_of(tokenizer, input).size();
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (json_) {
      console.print_json(Json::object({{"tokens", static_cast<uint64_t>(num_tokens)},
                                       {"bytes", static_cast<uint64_t>(input.size())},
                                       {"seconds", seconds}}));
    } else {
      console.print("{} tokens, {} bytes, {:.3f} s, {:.1f} MB/s\n", num_tokens, input.size(),
                    seconds, static_cast<double>(input.size()) / 1e6 / std::max(seconds, 1e-9));
    }
    return {};
  }

  std::string name_;
  bool lines_ = false;
  bool count_ = false;
  bool decode_ = false;
  bool special_ = false;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_tokenize_command() { return std::make_unique<TokenizeCommand>(); }

}  // namespace minke
