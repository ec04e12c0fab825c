#pragma once
#include <filesystem>
#include <string>
#include <string_view>

#include "minke/cli/flags.h"
#include "minke/cli/interrupts.h"
#include "minke/cli/progress.h"
#include "minke/convert/convert.h"

namespace minke {

/// What commands that write a model made of another take alike.
struct WriteFlags {
  std::string source;
  std::string destination;
  bool no_tokenizer = false;
  bool force = false;
  int threads = 0;
  bool json = false;

  /// Adds both places, the command's own flags come next.
  void add_places(Flags& flags, std::string_view destination_help);
  void add_to(Flags& flags);

  /// The source's file or folder. Errors: ModelStore's.
  Result<std::filesystem::path> source_path() const;
  /// With its progress on `bar`, until an interrupt; both must outlive it. From then on a limit on
  /// file sizes is an error to tell, not to die of.
  WriteTensorsOptions writing(ProgressBar& bar, const Interrupts& interrupts) const;
};

/// The flag --type of what convert_model() writes, "keep" by default.
void add_type_flag(Flags& flags, std::string& type);
/// What it says.
void set_type(std::string_view type, ConvertOptions& options);

}  // namespace minke
