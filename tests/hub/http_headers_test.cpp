// Goal: header fields from any server are read exactly or refused. Method: the RFCs' own examples
// and their near misses.
#include "minke/hub/http_headers.h"

#include <gtest/gtest.h>

namespace minke {
namespace {

TEST(HttpHeaders, ContentRangeIsExactOrNothing) {
  const auto range = parse_content_range("bytes 42-1233/1234");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->begin, 42u);
  EXPECT_EQ(range->end, 1234u);
  EXPECT_EQ(range->total, 1234u);
  EXPECT_FALSE(parse_content_range("BYTES 0-0/*")->total);
  EXPECT_EQ(parse_content_range("bytes 0-18446744073709551613/18446744073709551614")->end,
            UINT64_MAX - 1);
  for (const char* bad :
       {"", "bytes", "bytes 5-4/10", "bytes 0-10/10", "bytes */10", "bytes -1-2/10", "items 0-1/2",
        "bytes 0-1", "bytes 0-1/", "bytes 0/1-1", "bytes 0-18446744073709551615/*",
        "bytes 0-99999999999999999999/*", "bytes 0x1-2/3", "bytes 0 - 1/2"}) {
    EXPECT_FALSE(parse_content_range(bad)) << bad;
  }
}

TEST(HttpHeaders, TheNextLinkIsFoundAmongOthers) {
  EXPECT_EQ(next_link("<https://h/a?cursor=x>; rel=\"next\""), "https://h/a?cursor=x");
  EXPECT_EQ(next_link("<https://h/1>; rel=\"prev\", <https://h/3>; title=\"a;b\"; REL=next"),
            "https://h/3");
  EXPECT_EQ(next_link("<https://h/1>; rel=\"first next\""), "https://h/1");
  for (const char* none :
       {"", "<https://h/1>", "<https://h/1>; rel=\"prev\"", "https://h; rel=next",
        "<https://h; rel=next", "<https://h>; rel=\"nextish\""}) {
    EXPECT_EQ(next_link(none), "") << none;
  }
}

TEST(HttpHeaders, RetryAfterIsSecondsOrADate) {
  EXPECT_EQ(parse_retry_after("120", 0), 120.0);
  // RFC 9110's example date is 784111777 in Unix seconds.
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111770), 7.0);
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784111790), 0.0);
  EXPECT_FALSE(parse_retry_after("soon", 0));
  EXPECT_FALSE(parse_retry_after("-5", 0));
}

TEST(HttpHeaders, LinesBecomeAHeadAndAnInterimAnswerIsForgotten) {
  HttpHead head;
  for (const char* line : {"HTTP/1.1 100 Continue\r\n", "X-Old: 1\r\n", "\r\n",
                           "HTTP/1.1 206 Partial Content\r\n", "ETag:  W/\"abc\" \r\n",
                           "no colon\r\n", ": no name\r\n", "X-Twice: 1\r\n", "x-twice: 2\r\n"}) {
    read_header_line(line, head);
  }
  EXPECT_EQ(head.status, 206);
  EXPECT_EQ(head.find("X-Old"), nullptr);
  EXPECT_EQ(bare_etag(head.get("etag")), "abc");
  EXPECT_EQ(head.get("X-TWICE"), "2");
  EXPECT_EQ(head.fields.size(), 3u);
  read_header_line("HTTP/1.1 abc\r\n", head);
  EXPECT_EQ(head.status, 0);
}

}  // namespace
}  // namespace minke
