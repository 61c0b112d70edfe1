// From bytes to messages: whole, in pieces, and broken.
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "http/message_reader.hpp"
#include "stator/base/random.hpp"

namespace stator::http {
namespace {

constexpr MessageLimits small{.header = 256, .body = 64};

std::string detail_of(std::string_view bytes) {
    RequestReader reader{small};
    reader.feed(bytes);
    for (;;) {
        const auto request = reader.poll();
        if (!request) return request.error().detail();
        if (!*request) return "incomplete";
    }
}

TEST(RequestReading, ARequestMayComeInAnyPieces) {
    const std::string_view text =
        "POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
        "GET /c HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    for (std::size_t piece = 1; piece <= text.size(); ++piece) {
        RequestReader reader{small};
        std::vector<ReceivedRequest> requests;
        for (std::size_t at = 0; at < text.size(); at += piece) {
            reader.feed(text.substr(at, piece));
            for (;;) {
                auto request = reader.poll();
                ASSERT_TRUE(request) << request.error().what();
                if (!*request) break;
                requests.push_back(std::move(**request));
            }
        }
        ASSERT_EQ(requests.size(), 2U) << piece;
        EXPECT_EQ(requests[0].request.method, Method::post);
        EXPECT_EQ(requests[0].request.target, "/a?b");
        EXPECT_EQ(requests[0].request.body, "body");
        EXPECT_TRUE(requests[0].keep_alive);
        EXPECT_EQ(requests[1].request.target, "/c");
        EXPECT_FALSE(requests[1].keep_alive);
        EXPECT_TRUE(reader.between_requests());
    }
}

TEST(RequestReading, ChunksAreJoined) {
    RequestReader reader{small};
    reader.feed(
        "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    );
    const auto request = reader.poll();
    ASSERT_TRUE(request && *request);
    EXPECT_EQ((*request)->request.body, "abcde");
}

TEST(RequestReading, ChunksMayComeByteByByte) {
    for (const std::string chunks :
         {"0\r\n\r\n", "1\r\na\r\n0\r\n\r\n", "0\r\nTrailer: x\r\n\r\n"}) {
        RequestReader reader{small};
        std::optional<ReceivedRequest> request;
        for (const char byte : "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks) {
            ASSERT_FALSE(request);
            reader.feed({&byte, 1});
            auto read = reader.poll();
            ASSERT_TRUE(read) << read.error().what();
            request = std::move(*read);
        }
        ASSERT_TRUE(request) << chunks;
        EXPECT_EQ(request->request.body, chunks.starts_with("1") ? "a" : "");
        EXPECT_TRUE(reader.between_requests());
    }
}

TEST(RequestReading, WhatIsBrokenHasAName) {
    for (const auto* text : {
             "\x16\x03\x01\x02\r\n\r\n",
             "GET\r\n\r\n",
             "GET / HTTP/2.0\r\n\r\n",
             "GET / HTTP/1.1\r\nA B: c\r\n\r\n",
             "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
             "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
             "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
             "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r",
             "\xff\xff\r\n\r\n",
         })
        EXPECT_EQ(detail_of(text), "http.malformed") << text;
}

TEST(RequestReading, WhatIsTooLargeHasAName) {
    EXPECT_EQ(
        detail_of("GET /" + std::string(300, 'a') + " HTTP/1.1\r\n\r\n"), "http.header_too_large"
    );
    EXPECT_EQ(detail_of("GET /" + std::string(300, 'a')), "http.header_too_large");
    EXPECT_EQ(detail_of("POST / HTTP/1.1\r\nContent-Length: 65\r\n\r\n"), "http.body_too_large");
    EXPECT_EQ(
        detail_of(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n" + std::string(65, 'a')
        ),
        "http.body_too_large"
    );
    EXPECT_EQ(detail_of("GET / HTTP/1.1\r\n"), "incomplete");
}

TEST(RequestReading, NoiseNeverCrashesAndNeverHangs) {
    Random random{7};
    for (int round = 0; round < 2000; ++round) {
        std::string text =
            round % 2 == 0 ? "" : "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        const auto size = random.below(200);
        for (std::uint64_t i = 0; i < size; ++i) {
            constexpr std::string_view letters = "\r\n\r\n:0aG T/\x01\xff";
            text.push_back(letters[random.below(letters.size())]);
        }
        (void)detail_of(text);
    }
}

TEST(RequestReading, ABodyIsAskedForOnce) {
    RequestReader reader{small};
    reader.feed("POST / HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    EXPECT_FALSE(reader.asks_to_continue()) << "the header has not been looked at";
    EXPECT_FALSE(*reader.poll());
    EXPECT_TRUE(reader.asks_to_continue());
    EXPECT_FALSE(reader.asks_to_continue());
    reader.feed("body");
    EXPECT_TRUE(*reader.poll());
    EXPECT_FALSE(reader.asks_to_continue());
}

Result<Response> read_response(Method to, std::string_view text, std::size_t piece) {
    ResponseReader reader{to, small};
    for (std::size_t at = 0; at < text.size(); at += piece) {
        reader.feed(text.substr(at, piece));
        auto response = reader.poll();
        if (!response) return std::unexpected{response.error()};
        if (*response) return std::move(**response);
    }
    return reader.finish();
}

TEST(ResponseReading, ByLengthByChunksAndByTheEnd) {
    for (std::size_t piece = 1; piece < 80; ++piece) {
        for (const auto* text : {
                 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                 "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                 "HTTP/1.1 200 OK\r\n\r\nhello",
             }) {
            const auto response = read_response(Method::get, text, piece);
            ASSERT_TRUE(response) << text << response.error().what();
            EXPECT_EQ(response->status, 200U);
            EXPECT_EQ(response->body, "hello");
        }
    }
}

TEST(ResponseReading, HeadHasNoBody) {
    const auto response =
        read_response(Method::head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 7);
    ASSERT_TRUE(response);
    EXPECT_EQ(response->body, "");
    EXPECT_EQ(find_field(response->fields, "content-length"), "5");
}

TEST(ResponseReading, AnEndTooEarlyIsAnError) {
    for (const auto* text : {
             "",
             "HTTP/1.1 200",
             "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
         }) {
        const auto response = read_response(Method::get, text, 1000);
        ASSERT_FALSE(response) << text;
        EXPECT_EQ(response.error().code(), ErrorCode::disconnected) << text;
    }
    EXPECT_EQ(read_response(Method::get, "SSH-2.0\r\n\r\n", 99).error().detail(), "http.malformed");
}

}  // namespace
}  // namespace stator::http
