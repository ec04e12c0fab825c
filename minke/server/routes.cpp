#include "minke/server/endpoints.h"

namespace minke {

std::span<const Route> routes() {
  using Role = Route::Role;
  using Thread = Route::Thread;
  // A path that ends with "/" (but "/" itself) stands for all below it.
  static constexpr Route kRoutes[] = {
      {"GET", "/", Role::kPublic, Thread::kServer, page},
      {"GET", "/health", Role::kPublic, Thread::kServer, health},
      {"GET", "/metrics", Role::kUser, Thread::kServer, metrics},
      {"GET", "/v1/models", Role::kUser, Thread::kServer, list_models},
      {"GET", "/models", Role::kUser, Thread::kServer, list_models},
      {"GET", "/v1/models/", Role::kUser, Thread::kServer, show_model},
      {"GET", "/models/", Role::kUser, Thread::kServer, show_model},
      {"POST", "/v1/chat/completions", Role::kUser, Thread::kWorker, chat_completions},
      {"POST", "/chat/completions", Role::kUser, Thread::kWorker, chat_completions},
      {"POST", "/beta/chat/completions", Role::kUser, Thread::kWorker, chat_completions},
      {"POST", "/v1/completions", Role::kUser, Thread::kWorker, completions},
      {"POST", "/completions", Role::kUser, Thread::kWorker, completions},
      {"POST", "/beta/completions", Role::kUser, Thread::kWorker, completions},
  };
  return kRoutes;
}

}  // namespace minke
