#include "minke/hub/file_choice.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "minke/base/nearest_name.h"

namespace minke {
namespace {

// What to take where nothing is asked for: the usual compromise first, then what is near it in
// size.
constexpr std::array<std::string_view, 16> kPreferred = {
    "Q4_K_M", "Q4_0", "Q4_K_S", "Q4_1",   "IQ4_XS", "IQ4_NL", "Q5_K_M", "Q5_K_S",
    "Q5_0",   "Q6_K", "Q8_0",   "Q3_K_M", "Q2_K",   "BF16",   "F16",    "F32"};

// What a folder model needs beside its weights.
constexpr std::array<std::string_view, 12> kFolderFiles = {
    "config.json",        "generation_config.json",
    "tokenizer.json",     "tokenizer_config.json",
    "tokenizer.model",    "special_tokens_map.json",
    "added_tokens.json",  "vocab.json",
    "merges.txt",         "chat_template.jinja",
    "chat_template.json", "model.safetensors.index.json"};

constexpr size_t kShownMax = 30;

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// Takes "-00001-of-00002" off the end of a name; nothing when it has no such end.
struct Part {
  std::string_view stem;
  uint64_t index = 0;
  uint64_t count = 0;
};
std::optional<Part> split_part(std::string_view stem) {
  constexpr size_t kEnd = std::string_view("-00001-of-00002").size();
  if (stem.size() <= kEnd) return std::nullopt;
  const std::string_view end = stem.substr(stem.size() - kEnd);
  const auto index = parse_decimal(end.substr(1, 5));
  const auto count = parse_decimal(end.substr(10, 5));
  if (end[0] != '-' || end.substr(6, 4) != "-of-" || !index || !count) return std::nullopt;
  if (*index == 0 || *index > *count) return std::nullopt;
  return Part{stem.substr(0, stem.size() - kEnd), *index, *count};
}

std::string_view without_ending(std::string_view path) {
  return path.substr(0, path.size() - std::string_view(".gguf").size());
}

bool is_quantization_word(std::string_view word) {
  if (word == "BF16" || word == "F16" || word == "F32" || word == "MXFP4") return true;
  size_t at = word.starts_with("IQ") || word.starts_with("TQ") ? 2 : word.starts_with("Q") ? 1 : 0;
  if (at == 0 || at >= word.size() || word[at] < '1' || word[at] > '8') return false;
  ++at;
  return at == word.size() || word[at] == '_';
}

// One model among the GGUF files: a file, or all parts of one.
struct Variant {
  std::string stem;  // path without part number and ending
  std::vector<RemoteFile> files;
  uint64_t num_parts = 1;
  uint64_t bytes = 0;
};

std::vector<Variant> find_variants(std::span<const RemoteFile> files) {
  std::map<std::string, Variant> by_stem;
  for (const RemoteFile& file : files) {
    const std::string name = lower(base_name(file.path));
    if (!name.ends_with(".gguf") || name.find("mmproj") != std::string::npos ||
        name.find("imatrix") != std::string::npos) {
      continue;
    }
    const std::string_view stem = without_ending(file.path);
    const std::optional<Part> part = split_part(stem);
    const std::string key(part ? part->stem : stem);
    Variant& variant = by_stem[key + (part ? fmt::format("/{}", part->count) : "")];
    variant.stem = key;
    variant.num_parts = part ? part->count : 1;
    variant.bytes += file.size_bytes;
    variant.files.push_back(file);
  }
  std::vector<Variant> out;
  for (auto& [key, variant] : by_stem) {
    std::sort(variant.files.begin(), variant.files.end(),
              [](const RemoteFile& a, const RemoteFile& b) { return a.path < b.path; });
    out.push_back(std::move(variant));
  }
  std::sort(out.begin(), out.end(),
            [](const Variant& a, const Variant& b) { return a.bytes < b.bytes; });
  return out;
}

std::string shown_list(std::span<const Variant> variants) {
  std::string out;
  for (size_t i = 0; i < variants.size() && i < kShownMax; ++i) {
    const std::string tag = quantization_of(base_name(variants[i].stem));
    out += fmt::format("{}{} ({:.2f} GB)", i == 0 ? "" : ", ",
                       tag.empty() ? base_name(variants[i].stem) : tag,
                       static_cast<double>(variants[i].bytes) / 1e9);
  }
  if (variants.size() > kShownMax) out += fmt::format(" and {} more", variants.size() - kShownMax);
  return out;
}

std::string file_list(std::span<const Variant> variants) {
  std::string out;
  for (size_t i = 0; i < variants.size() && i < kShownMax; ++i) {
    out += fmt::format("{}{} ({:.2f} GB)", i == 0 ? "" : ", ", variants[i].files[0].path,
                       static_cast<double>(variants[i].bytes) / 1e9);
  }
  return out;
}

Result<ChosenFiles> chosen_variant(const Variant& variant) {
  if (variant.files.size() != variant.num_parts) {
    return fail(ErrorCode::kNotFound, "{} has {} of its {} parts in the repository", variant.stem,
                variant.files.size(), variant.num_parts);
  }
  return ChosenFiles{variant.files, variant.files[0].path, std::string(base_name(variant.stem))};
}

// The variants that `which` means: those with exactly this quantisation, or else those whose name
// ends with it ("UD-Q4_K_XL", "instruct-q4").
std::vector<Variant> matching(std::span<const Variant> variants, const std::string& which) {
  const std::string wanted = lower(which);
  std::vector<Variant> exact;
  std::vector<Variant> ending;
  for (const Variant& variant : variants) {
    const std::string stem = lower(base_name(variant.stem));
    if (lower(quantization_of(stem)) == wanted) exact.push_back(variant);
    const size_t before = stem.size() - wanted.size() - 1;
    const bool ends = stem.size() > wanted.size() && stem.ends_with(wanted) &&
                      (stem[before] == '-' || stem[before] == '.' || stem[before] == '_');
    if (ends || stem == wanted) ending.push_back(variant);
  }
  // "x-UD-Q4_K_XL" and "x-Q4_K_XL" have the same quantisation; the plain one is meant.
  if (exact.size() > 1) {
    const auto special = [](const Variant& variant) {
      return lower(base_name(variant.stem)).find("ud-") != std::string::npos;
    };
    if (std::any_of(exact.begin(), exact.end(), special) &&
        !std::all_of(exact.begin(), exact.end(), special)) {
      std::erase_if(exact, special);
    }
  }
  return exact.empty() ? ending : exact;
}

Result<ChosenFiles> choose_variant(std::span<const Variant> variants, const std::string& which) {
  const std::vector<Variant> fits = matching(variants, which);
  if (fits.size() == 1) return chosen_variant(fits[0]);
  if (fits.empty()) {
    return fail(ErrorCode::kNotFound, "there is no {}; there is: {}", which, shown_list(variants));
  }
  return fail(ErrorCode::kUsage, "{} fits several files, name one of: {}", which, file_list(fits));
}

Result<ChosenFiles> choose_default(std::span<const Variant> variants) {
  if (variants.size() == 1) return chosen_variant(variants[0]);
  for (const std::string_view tag : kPreferred) {
    if (!matching(variants, std::string(tag)).empty()) {
      return choose_variant(variants, std::string(tag));
    }
  }
  return fail(ErrorCode::kUsage, "which one? Add :NAME for one of: {}", file_list(variants));
}

Result<ChosenFiles> choose_by_path(std::span<const RemoteFile> files,
                                   std::span<const Variant> variants, const std::string& which) {
  const auto is_it = [&](const RemoteFile& file) {
    return file.path == which || base_name(file.path) == which;
  };
  for (const Variant& variant : variants) {
    if (std::any_of(variant.files.begin(), variant.files.end(), is_it)) {
      return chosen_variant(variant);
    }
  }
  std::vector<std::string> names;
  for (const RemoteFile& file : files) names.push_back(file.path);
  const bool is_there = std::any_of(files.begin(), files.end(), is_it);
  if (is_there) {
    return fail(ErrorCode::kUsage,
                "{} cannot be pulled by itself: only .gguf files can; leave the file out for the "
                "whole model",
                which);
  }
  return fail(ErrorCode::kNotFound, "there is no file {}{}{}", which, did_you_mean(which, names),
              variants.empty() ? "" : "; there is: " + file_list(variants));
}

bool is_weight_file(std::string_view path) {
  return path.ends_with(".safetensors") && !path.starts_with("consolidated") &&
         !path.starts_with("adapter_");
}

Result<ChosenFiles> choose_folder(std::span<const RemoteFile> files, const std::string& name) {
  ChosenFiles chosen{{}, ".", name};
  std::vector<RemoteFile> weights;
  bool has_config = false;
  bool has_pickle = false;
  const auto in_root = [&](std::string_view path) {
    return std::any_of(files.begin(), files.end(),
                       [&](const RemoteFile& file) { return file.path == path; });
  };
  const bool has_index = in_root("model.safetensors.index.json");
  const bool has_single = !has_index && in_root("model.safetensors");
  for (const RemoteFile& file : files) {
    const auto known = std::find(kFolderFiles.begin(), kFolderFiles.end(), file.path);
    has_config = has_config || file.path == "config.json";
    has_pickle = has_pickle || file.path.ends_with(".bin") || file.path.ends_with(".pt") ||
                 file.path.ends_with(".pth");
    if (known != kFolderFiles.end()) chosen.files.push_back(file);
    if (file.path.find('/') != std::string::npos || !is_weight_file(file.path)) continue;
    if (has_index && !file.path.starts_with("model-")) continue;
    if (has_single && file.path != "model.safetensors") continue;
    weights.push_back(file);
  }
  if (weights.empty()) {
    return fail(ErrorCode::kNotFound, "there is neither a GGUF nor a safetensors file{}",
                has_pickle ? "; its pickle files (.bin, .pt) could run code when they are read and "
                             "are never taken"
                           : "");
  }
  if (!has_config) return fail(ErrorCode::kNotFound, "there are safetensors but no config.json");
  chosen.files.insert(chosen.files.end(), weights.begin(), weights.end());
  return chosen;
}

}  // namespace

std::string quantization_of(std::string_view file_name) {
  std::string name(base_name(file_name));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (name.ends_with(".GGUF")) name.resize(name.size() - 5);
  // The last word between dashes and dots that is one: "Llama-3-Q8-tuned.Q4_K_M" is Q4_K_M.
  std::string found;
  for (size_t at = 0; at <= name.size();) {
    const size_t end = std::min(name.find_first_of("-.", at), name.size());
    const std::string word = name.substr(at, end - at);
    if (is_quantization_word(word)) found = word;
    at = end + 1;
  }
  return found;
}

Result<ChosenFiles> choose_files(std::span<const RemoteFile> files, const std::string& which,
                                 const std::string& folder_name) {
  const std::vector<Variant> variants = find_variants(files);
  const std::string wanted = lower(which);
  const bool is_path = wanted.ends_with(".gguf") || wanted.find('/') != std::string::npos ||
                       wanted.ends_with(".safetensors") || wanted.ends_with(".bin");
  if (is_path) return choose_by_path(files, variants, which);
  if (!which.empty() && variants.empty()) {
    return fail(ErrorCode::kNotFound, "there is no {}, and no GGUF file at all", which);
  }
  if (!which.empty()) return choose_variant(variants, which);
  if (!variants.empty()) return choose_default(variants);
  return choose_folder(files, folder_name);
}

}  // namespace minke
