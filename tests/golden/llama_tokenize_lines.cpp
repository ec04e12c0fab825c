// Prints the ids that llama.cpp gives to many texts, a JSON array a line, for tokenizer_peers.py:
//
//     llama_tokenize_lines VOCABULARY.gguf < frames
//
// A frame is a text's length as four bytes, little-endian, and the text.
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include <llama.h>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  llama_log_set([](ggml_log_level, const char*, void*) {}, nullptr);
  llama_model_params params = llama_model_default_params();
  params.vocab_only = true;
  llama_model* model = llama_model_load_from_file(argv[1], params);
  if (model == nullptr) return 1;
  const llama_vocab* vocabulary = llama_model_get_vocab(model);
  uint32_t bytes = 0;
  while (std::fread(&bytes, sizeof bytes, 1, stdin) == 1) {
    std::string text(bytes, '\0');
    if (std::fread(text.data(), 1, bytes, stdin) != bytes) return 1;
    std::vector<llama_token> ids(bytes + 16);
    const int count = llama_tokenize(vocabulary, text.data(), static_cast<int32_t>(bytes),
                                     ids.data(), static_cast<int32_t>(ids.size()), false, false);
    std::printf("[");
    for (int i = 0; i < count; ++i) std::printf(i > 0 ? ",%d" : "%d", ids[i]);
    std::printf("]\n");
  }
  llama_model_free(model);
  return 0;
}
