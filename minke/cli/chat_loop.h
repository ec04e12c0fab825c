#pragma once
#include "minke/base/result.h"
#include "minke/cli/chat_session.h"
#include "minke/cli/interrupts.h"
#include "minke/cli/loaded_model.h"

namespace minke {

/// A loaded model with an engine as a session needs it. Both must outlive it; `interrupts` stops a
/// reply (a count above 0 ends it).
ChatModel chat_model_of(const LoadedModel& model, Engine& engine, const Interrupts& interrupts);

/// Reads messages and /commands from console.in and answers until the end of the input, /exit, or
/// Ctrl-C twice on an empty line. On a terminal an error is told and the chat goes on; from a pipe
/// it ends the chat.
Result<void> chat_loop(const Console& console, const LoadedModel& model, ChatSettings settings,
                       bool keep_history);

/// The loop itself over any session (tests script the model).
Result<void> run_chat(ChatSession& session, Interrupts& interrupts,
                      const std::filesystem::path& history);

}  // namespace minke
