// What the tests with a real nats-server share.
#pragma once

#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "stator/nats/client.hpp"
#include "tests/store/store_fixture.hpp"
#include "tests/support/nats_server.hpp"

namespace stator::test {

using nats::Client;
using nats::ClientOptions;
using nats::Message;
using nats::Publication;
using nats::SubscribeOptions;
using nats::Subscription;
using testing::NatsServer;

inline Publication publication(std::string subject, std::string_view payload) {
    return {
        .subject = std::move(subject),
        .payload = Bytes::copy_of(payload),
        .headers = {},
        .reply = {}
    };
}

inline Task<Client> connect_client(Loop* loop, ClientOptions options) {
    co_return co_await Client::connect(*loop, std::move(options));
}

inline SubscribeOptions to(std::string subject, std::string queue = {}) {
    SubscribeOptions options;
    options.subjects = {std::move(subject)};
    options.queue = std::move(queue);
    return options;
}

inline Task<Message> next_message(const Subscription* of) {
    auto message = co_await with_deadline(Deadline::in(patience), of->next());
    require(message.has_value(), "the subscription has ended");
    co_return std::move(*message);
}

/// A client that closes with the test.
class Connected {
public:
    Connected(Loops& loops, ClientOptions options) : loops_{loops} {
        options.startup_timeout = 10s;
        auto made = loops.run(connect_client(&loops.secondary(), std::move(options)));
        EXPECT_TRUE(made) << made.error().what();
        if (made) client_ = *made;
    }
    Connected(Loops& loops, const NatsServer& server)
        : Connected{loops, ClientOptions{.server = server.url()}} {}
    Connected(const Connected&) = delete;
    Connected& operator=(const Connected&) = delete;
    ~Connected() {
        if (client_) EXPECT_RUNS(loops_, client_.close(Deadline::in(5s)));
    }
    const Client* operator->() const { return &client_; }
    const Client& operator*() const { return client_; }

private:
    Loops& loops_;
    Client client_;
};

}  // namespace stator::test
