// Prints the logits that llama.cpp gives for token ids, a row of JSON a position, then the tokens
// that it chooses next, for tests/e2e/convert_peer.py:
//
//     llama_logits MODEL.gguf COUNT ID...
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <llama.h>

namespace {

void print_row(const float* logits, int count) {
  for (int i = 0; i < count; ++i) std::printf(i > 0 ? ",%.9g" : "[%.9g", logits[i]);
  std::printf("]\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  llama_log_set(
      [](ggml_log_level level, const char* text, void*) {
        if (level == GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
      },
      nullptr);
  llama_model* model = llama_model_load_from_file(argv[1], llama_model_default_params());
  if (model == nullptr) return 1;
  std::vector<llama_token> ids;
  for (int i = 3; i < argc; ++i) ids.push_back(std::atoi(argv[i]));
  llama_context_params params = llama_context_default_params();
  params.n_ctx = 512;
  params.n_batch = params.n_ubatch = 512;
  params.type_k = params.type_v = GGML_TYPE_F32;
  params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
  params.n_threads = params.n_threads_batch = 1;
  llama_context* context = llama_init_from_model(model, params);
  if (context == nullptr) return 1;
  const int vocab_size = llama_vocab_n_tokens(llama_model_get_vocab(model));
  llama_batch batch = llama_batch_init(static_cast<int>(ids.size()), 0, 1);
  batch.n_tokens = static_cast<int>(ids.size());
  for (int i = 0; i < batch.n_tokens; ++i) {
    batch.token[i] = ids[i];
    batch.pos[i] = i;
    batch.n_seq_id[i] = 1;
    batch.seq_id[i][0] = 0;
    batch.logits[i] = 1;
  }
  if (llama_decode(context, batch) != 0) return 1;
  for (int i = 0; i < batch.n_tokens; ++i) print_row(llama_get_logits_ith(context, i), vocab_size);
  std::printf("[");
  int last = batch.n_tokens - 1;
  for (int i = 0; i < std::atoi(argv[2]); ++i) {
    const float* row = llama_get_logits_ith(context, last);
    llama_token next = static_cast<llama_token>(std::max_element(row, row + vocab_size) - row);
    std::printf(i > 0 ? ",%d" : "%d", next);
    if (llama_decode(context, llama_batch_get_one(&next, 1)) != 0) return 1;
    last = 0;
  }
  std::printf("]\n");
  return 0;
}
