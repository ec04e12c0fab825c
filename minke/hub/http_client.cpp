#include "minke/hub/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>

namespace minke {
namespace {

constexpr size_t kHeadBytesMax = 256 << 10;  // libcurl 7.88 limits one line, but not their number
constexpr long kSlowBytesPerSecond = 1024;
constexpr long kReceiveBufferBytes = 256 << 10;

struct UrlCloser {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using UrlHandle = std::unique_ptr<CURLU, UrlCloser>;

std::string url_part(CURLU* url, CURLUPart part, unsigned flags) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return {};
  std::string out(text);
  curl_free(text);
  return out;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// What another attempt cannot mend.
bool is_final(CURLcode code) {
  return code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT ||
         code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
         code == CURLE_OUT_OF_MEMORY || code == CURLE_FAILED_INIT;
}

}  // namespace

struct HttpClient::Impl {
  struct Transfer {
    CURL* easy = nullptr;
    curl_slist* headers = nullptr;
    HttpReceiver* receiver = nullptr;
    HttpHead head;
    size_t head_bytes = 0;
    bool head_given = false;
    bool ended_by_receiver = false;
    std::array<char, CURL_ERROR_SIZE> error{};

    ~Transfer() {
      curl_easy_cleanup(easy);
      curl_slist_free_all(headers);
    }
    bool give_head() {
      if (head_given) return true;
      head_given = true;
      ended_by_receiver = !receiver->on_head(head);
      return !ended_by_receiver;
    }
  };

  FetchOptions options;
  CURLM* multi = nullptr;
  std::vector<std::unique_ptr<Transfer>> transfers;

  void configure(Transfer& transfer, const FetchRequest& request);
  void finish(CURL* easy, CURLcode code);
  std::unique_ptr<Transfer> take(CURL* easy);
  static size_t on_header(char* data, size_t size, size_t count, void* user);
  static size_t on_data(char* data, size_t size, size_t count, void* user);
};

size_t HttpClient::Impl::on_header(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view line(data, size * count);
  transfer.head_bytes += line.size();
  if (transfer.head_bytes > kHeadBytesMax) return 0;
  read_header_line(line, transfer.head);
  // An empty line ends the fields; an interim answer (1xx) is followed by another one.
  if (line == "\r\n" && transfer.head.status >= 200 && !transfer.give_head()) return 0;
  return line.size();
}

size_t HttpClient::Impl::on_data(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const size_t bytes = size * count;
  if (!transfer.give_head()) return 0;
  if (transfer.receiver->on_body(std::string_view(data, bytes))) return bytes;
  transfer.ended_by_receiver = true;
  return 0;
}

void HttpClient::Impl::configure(Transfer& transfer, const FetchRequest& request) {
  CURL* easy = transfer.easy;
  for (const HeaderField& header : request.headers) {
    const std::string line = header.name + ": " + header.value;
    transfer.headers = curl_slist_append(transfer.headers, line.c_str());
  }
  transfer.headers = curl_slist_append(transfer.headers, "Accept-Encoding: identity");
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer.headers);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "minke/" MINKE_VERSION);
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  // HTTP/2 would carry all ranges over one connection, at the speed of one.
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
  curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request.fresh_connection ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(options.connect_seconds_max * 1e3));
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, kSlowBytesPerSecond);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                   std::max(1L, std::lround(options.stall_seconds_max)));
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, kReceiveBufferBytes);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.error.data());
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Impl::on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Impl::on_data);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
  if (!options.ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, options.ca_file.c_str());
}

std::unique_ptr<HttpClient::Impl::Transfer> HttpClient::Impl::take(CURL* easy) {
  const auto at = std::find_if(transfers.begin(), transfers.end(),
                               [&](const auto& transfer) { return transfer->easy == easy; });
  std::unique_ptr<Transfer> transfer = std::move(*at);
  transfers.erase(at);
  curl_multi_remove_handle(multi, easy);
  return transfer;
}

void HttpClient::Impl::finish(CURL* easy, CURLcode code) {
  const std::unique_ptr<Transfer> transfer = take(easy);
  if (code == CURLE_OK) transfer->give_head();  // an answer without body or empty line
  if (code == CURLE_OK || transfer->ended_by_receiver) {
    transfer->receiver->on_end({}, code == CURLE_OK);
    return;
  }
  const char* detail = transfer->error[0] != '\0' ? transfer->error.data() : nullptr;
  if (transfer->head_bytes > kHeadBytesMax) detail = "its header fields exceed 256 KiB";
  const Result<void> failed = fail(is_final(code) ? ErrorCode::kFailed : ErrorCode::kNetwork, "{}",
                                   detail != nullptr ? detail : curl_easy_strerror(code));
  transfer->receiver->on_end(failed, code == CURLE_PARTIAL_FILE);
}

HttpClient::HttpClient(const FetchOptions& options) : impl_(std::make_unique<Impl>()) {
  static std::once_flag once;  // libcurl's own rule: once a process, before any other thread's use
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  impl_->options = options;
  impl_->multi = curl_multi_init();
}

HttpClient::~HttpClient() {
  for (const auto& transfer : impl_->transfers) {
    curl_multi_remove_handle(impl_->multi, transfer->easy);
  }
  impl_->transfers.clear();
  curl_multi_cleanup(impl_->multi);
}

Result<void> HttpClient::start(const FetchRequest& request, HttpReceiver& receiver) {
  auto transfer = std::make_unique<Impl::Transfer>();
  transfer->easy = curl_easy_init();
  transfer->receiver = &receiver;
  if (transfer->easy == nullptr) return fail(ErrorCode::kFailed, "libcurl gives no handle");
  impl_->configure(*transfer, request);
  const CURLMcode code = curl_multi_add_handle(impl_->multi, transfer->easy);
  if (code != CURLM_OK) return fail(ErrorCode::kFailed, "libcurl: {}", curl_multi_strerror(code));
  impl_->transfers.push_back(std::move(transfer));
  return {};
}

void HttpClient::cancel(HttpReceiver& receiver) {
  for (const auto& transfer : impl_->transfers) {
    if (transfer->receiver != &receiver) continue;
    impl_->take(transfer->easy);
    return;
  }
}

Result<void> HttpClient::poll(int timeout_ms) {
  int running = 0;
  CURLMcode code = curl_multi_perform(impl_->multi, &running);
  if (code == CURLM_OK && running > 0) {
    code = curl_multi_poll(impl_->multi, nullptr, 0, timeout_ms, nullptr);
  }
  if (code == CURLM_OK) code = curl_multi_perform(impl_->multi, &running);
  if (code != CURLM_OK) return fail(ErrorCode::kFailed, "libcurl: {}", curl_multi_strerror(code));
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(impl_->multi, &left)) {
    if (message->msg == CURLMSG_DONE) impl_->finish(message->easy_handle, message->data.result);
  }
  return {};
}

int HttpClient::num_active() const { return static_cast<int>(impl_->transfers.size()); }

Result<UrlParts> parse_url(const std::string& url) {
  const UrlHandle handle(curl_url());
  UrlParts parts;
  if (curl_url_set(handle.get(), CURLUPART_URL, url.c_str(), 0) == CURLUE_OK) {
    parts.scheme = lower(url_part(handle.get(), CURLUPART_SCHEME, 0));
    parts.host = lower(url_part(handle.get(), CURLUPART_HOST, 0));
    parts.port = url_part(handle.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
    parts.path = url_part(handle.get(), CURLUPART_PATH, CURLU_URLDECODE);
  }
  if ((parts.scheme == "http" || parts.scheme == "https") && !parts.host.empty()) return parts;
  return fail(ErrorCode::kUsage, "'{}' is no http or https URL", url);
}

Result<std::string> redirect_target(const std::string& base, const std::string& location) {
  const UrlHandle handle(curl_url());
  const bool ok = curl_url_set(handle.get(), CURLUPART_URL, base.c_str(), 0) == CURLUE_OK &&
                  curl_url_set(handle.get(), CURLUPART_URL, location.c_str(), 0) == CURLUE_OK;
  const std::string target = ok ? url_part(handle.get(), CURLUPART_URL, 0) : std::string();
  const Result<UrlParts> from = parse_url(base);
  const Result<UrlParts> to = parse_url(target);
  if (!from || !to) {
    return fail(ErrorCode::kNetwork, "{} redirects to '{}', which is no URL", base,
                location.substr(0, 200));
  }
  if (from->scheme == "https" && to->scheme == "http") {
    return fail(ErrorCode::kNetwork, "{} redirects from https to {}", base, target);
  }
  return target;
}

std::string url_encoded(std::string_view text, bool keep_slashes) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  std::string out;
  for (const char c : text) {
    if (kPlain.find(c) != std::string_view::npos || (c == '/' && keep_slashes)) {
      out.push_back(c);
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

}  // namespace minke
