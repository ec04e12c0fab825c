#include <algorithm>
#include <cstring>

#include "minke/base/hash128.h"
#include "minke/base/random.h"
#include "minke/models/packed_model.h"

namespace minke {
namespace {

constexpr DType kDTypes[] = {
#define MK_DTYPE(id, name, gguf_type, block, bytes, decode, encode) DType::id,
#include "minke/dtype/dtypes.def"
#undef MK_DTYPE
};

// The least number of columns of which all formats have whole blocks.
constexpr int64_t kPatternCols = 256;

void append(std::string& out, std::span<const std::byte> bytes) {
  out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// What packing and encoding make of random numbers, in every format. A build that lays out panels
// in another way, or rounds FP8 weights to q8_0 in another way, has other bytes here: no version
// number that somebody must remember to raise.
std::string layout_pattern(const Device& device) {
  Random random(1);
  std::vector<float> values(kernels::kPanelRows * kPatternCols);
  for (float& value : values) value = static_cast<float>(random.normal());
  std::string pattern;
  for (const DType dtype : kDTypes) {
    const DTypeInfo& format = dtype_info(dtype);
    const auto elements = static_cast<int64_t>(values.size());
    std::vector<std::byte> source(static_cast<size_t>(dtype_bytes(dtype, elements)));
    for (std::byte& byte : source) byte = static_cast<std::byte>(random.below(256));
    if (format.encode != nullptr) {
      format.encode(values.data(), elements / format.block_size, source.data());
      append(pattern, source);
    }
    if (!kernels::packable(dtype, kPatternCols)) continue;
    std::vector<std::byte> packed(
        static_cast<size_t>(kernels::packed_bytes(dtype, kernels::kPanelRows, kPatternCols)));
    kernels::pack(device, source.data(), dtype, kernels::kPanelRows, kPatternCols, packed.data());
    append(pattern, packed);
  }
  return pattern;
}

// Names, formats and shapes of all tensors, and bytes from the middle of some. The files' times say
// that nothing changed; the samples are for disks and clocks that lie.
std::string tensor_table(const WeightFile& file) {
  constexpr size_t kSamplesMax = 256;  // each may cost a seek
  constexpr size_t kSampleBytes = 256;
  const std::vector<WeightInfo>& weights = file.weights();
  const size_t step = weights.size() / kSamplesMax + 1;
  std::string table;
  for (size_t i = 0; i < weights.size(); ++i) {
    const WeightInfo& weight = weights[i];
    table += fmt::format("{} {} {} {} {}x{}\n", weight.name, dtype_info(weight.dtype).name,
                         weight.shape.text(), dtype_info(weight.scales.dtype).name,
                         weight.scales.block_rows, weight.scales.block_cols);
    if (i % step != 0) continue;
    const size_t bytes = std::min(kSampleBytes, weight.bytes.size());
    append(table, weight.bytes.subspan((weight.bytes.size() - bytes) / 2, bytes));
  }
  return table;
}

// In words what changes the panels beside the bytes of the source.
std::string settings_text(const Device& device, const LoadOptions& options) {
  return fmt::format("{} {} {}\n", precision_name(options.precision),
                     options.caches_latents.value_or(options.precision != Precision::kF32),
                     cpu_level_name(device.level()));
}

}  // namespace

std::string packed_identity(const Device& device, const ModelFile& file,
                            const LoadOptions& options) {
  std::string text = settings_text(device, options);
  for (const MappedFile& map : file.maps()) {
    const FileStamp& stamp = map.stamp();
    text += fmt::format("{} {} {}\n", stamp.bytes, stamp.modified_ns, stamp.changed_ns);
  }
  return hash128_hex(text + tensor_table(file.weights()) + layout_pattern(device));
}

std::filesystem::path packed_path(const Device& device, const ModelFile& file,
                                  const LoadOptions& options, const std::filesystem::path& folder) {
  MK_CHECK(!file.maps().empty(), "packed_path: a model without files");
  std::error_code ignored;
  const std::filesystem::path source =
      std::filesystem::weakly_canonical(file.maps().front().path(), ignored);
  const std::string name =
      file.gguf() != nullptr ? source.stem().string() : source.parent_path().filename().string();
  constexpr size_t kNameMax = 100, kHashDigits = 16;
  const std::string hash = hash128_hex(source.string() + "\n" + settings_text(device, options));
  return folder /
         fmt::format("{}-{}.panels", name.substr(0, kNameMax), hash.substr(0, kHashDigits));
}

}  // namespace minke
