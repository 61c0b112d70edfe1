// A NATS connection whose server is the test.
#pragma once

#include <poll.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "nats/module_loader.hpp"
#include "nats/wire.hpp"

namespace stator::test {

/// What the wires of one session do, and what is said to them. Thread-safe.
class FakeServer {
public:
    static constexpr std::size_t max_payload = 1000;

    nats::Make make() {
        return [this](const nats::WireOptions& options, std::shared_ptr<nats::WireEvents> events) {
            const std::lock_guard guard{lock_};
            options_ = options;
            events_ = std::move(events);
            return std::make_unique<FakeWire>(*this);
        };
    }

    /// The outcomes of the next attempts to connect; then they succeed.
    void fail_connects(std::vector<nats::WireStatus> outcomes) {
        const std::lock_guard guard{lock_};
        connects_ = {outcomes.begin(), outcomes.end()};
    }
    /// From now on publishing does not return until `let_go`.
    void hold() {
        const std::lock_guard guard{lock_};
        held_ = true;
    }
    void let_go() {
        const std::lock_guard guard{lock_};
        held_ = false;
        changed_.notify_all();
    }
    void lose_connection() { events()->on_disconnected("cut"); }
    void drained(std::uint64_t id) { events()->on_drained(id); }
    void give_up() { events()->on_given_up(); }
    void connect_again() { events()->on_connected(max_payload, "nats://fake"); }

    /// A message for whoever has subscribed with this id.
    void deliver(std::uint64_t id, const std::string& subject, const std::string& payload) {
        nats::Incoming incoming;
        incoming.subject = subject;
        incoming.payload = payload;
        events()->on_message(id, incoming);
    }

    /// Lines such as "pub a 1 reply _INBOX...", once there are so many that begin with `prefix`.
    std::vector<std::string> wait_for(std::string_view prefix, std::size_t count) {
        std::unique_lock guard{lock_};
        std::vector<std::string> found;
        changed_.wait_for(guard, std::chrono::seconds{20}, [&] {
            found.clear();
            for (const auto& line : said_) {
                if (line.starts_with(prefix)) found.push_back(line);
            }
            return found.size() >= count;
        });
        return found;
    }
    std::size_t count(std::string_view prefix) {
        const std::lock_guard guard{lock_};
        std::size_t found = 0;
        for (const auto& line : said_) found += line.starts_with(prefix) ? 1U : 0U;
        return found;
    }
    nats::WireOptions options() {
        const std::lock_guard guard{lock_};
        return options_;
    }
    /// Whether answers to requests of the session itself come by themselves.
    std::atomic<bool> echoes{true};

private:
    class FakeWire final : public nats::Wire {
    public:
        explicit FakeWire(FakeServer& server) : server_{server} {}
        nats::WireStatus connect() override { return server_.connected(); }
        nats::WireStatus publish(const nats::Outgoing& message) override {
            return server_.published(message);
        }
        nats::WireStatus subscribe(std::uint64_t id, const nats::Topic& topic) override {
            server_.say("sub " + std::to_string(id) + " " + topic.pattern + " " + topic.queue);
            return {};
        }
        void unsubscribe(std::uint64_t id) override { server_.say("unsub " + std::to_string(id)); }
        void drain(std::uint64_t id) override { server_.say("drain " + std::to_string(id)); }
        void flush() override {}
        void wait(int wake) override {
            pollfd waited{wake, POLLIN, 0};
            (void)::poll(&waited, 1, -1);
        }
        void close() override { server_.say("close"); }

    private:
        FakeServer& server_;
    };

    std::shared_ptr<nats::WireEvents> events() {
        const std::lock_guard guard{lock_};
        return events_;
    }
    void say(std::string line) {
        const std::lock_guard guard{lock_};
        said_.push_back(std::move(line));
        changed_.notify_all();
    }
    nats::WireStatus connected() {
        {
            const std::lock_guard guard{lock_};
            said_.emplace_back("connect");
            changed_.notify_all();
            if (!connects_.empty()) {
                auto outcome = connects_.front();
                connects_.pop_front();
                if (!outcome.ok()) return outcome;
            }
        }
        connect_again();
        return {};
    }
    nats::WireStatus published(const nats::Outgoing& message) {
        const std::string subject{message.subject};
        {
            std::unique_lock guard{lock_};
            said_.push_back("pub " + subject + " " + std::string{message.payload});
            if (*message.reply != '\0') said_.push_back("reply " + std::string{message.reply});
            changed_.notify_all();
            changed_.wait(guard, [this] { return !held_; });
        }
        if (subject.starts_with("_INBOX.") && echoes) deliver(1, subject, "");
        return {};
    }

    std::mutex lock_;
    std::condition_variable changed_;
    nats::WireOptions options_;
    std::shared_ptr<nats::WireEvents> events_;
    std::deque<nats::WireStatus> connects_;
    std::vector<std::string> said_;
    bool held_ = false;
};

}  // namespace stator::test
