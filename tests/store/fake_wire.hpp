// Members of an etcd cluster that say what a test tells them to, on a thread of their own.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "store/etcd/module_loader.hpp"
#include "store/etcd/wire.hpp"
#include "tests/store/asking_wire.hpp"

namespace stator::test {

namespace etcd = store::etcd;

/// What was asked of a member.
using AnyRequest = std::variant<
    store::EtcdTransaction,
    etcd::GrantRequest,
    etcd::RevokeRequest,
    etcd::KeepAliveRequest,
    etcd::LeaseKeysRequest,
    etcd::CompactRequest,
    etcd::StatusRequest,
    etcd::AuthenticateRequest>;
using AnyReply = std::variant<
    etcd::Status,
    store::EtcdTransactionReply,
    etcd::GrantReply,
    etcd::HeaderReply,
    etcd::KeepAliveReply,
    etcd::LeaseKeysReply,
    etcd::StatusReply,
    etcd::AuthenticateReply>;

/// A stream of watches whose member is the test.
class FakeWatch : public etcd::WatchCall {
public:
    explicit FakeWatch(etcd::WatchHandlers handlers) : handlers_{std::move(handlers)} {}
    void create(const etcd::WatchTarget& target) override {
        const std::lock_guard guard{lock_};
        created_.push_back(target);
        changed_.notify_all();
    }
    void drop(std::int64_t id) override {
        const std::lock_guard guard{lock_};
        dropped_.push_back(id);
    }
    void request_progress() override {}
    void next() override {
        const std::lock_guard guard{lock_};
        ++asked_;
        changed_.notify_all();
    }
    void cancel() noexcept override {}

    /// Blocks until the client has asked for `count` watches.
    std::vector<etcd::WatchTarget> created(std::size_t count) {
        std::unique_lock guard{lock_};
        changed_.wait(guard, [&] { return created_.size() >= count; });
        return created_;
    }
    /// The watches that it has given up.
    std::vector<std::int64_t> dropped() {
        const std::lock_guard guard{lock_};
        return dropped_;
    }
    void say(etcd::WatchMessage message) {
        {
            std::unique_lock guard{lock_};
            changed_.wait(guard, [&] { return asked_ > 0; });
            --asked_;
        }
        handlers_.message(std::move(message));
    }
    void end(etcd::Status status) { handlers_.ended(std::move(status)); }

private:
    etcd::WatchHandlers handlers_;
    std::mutex lock_;
    std::condition_variable changed_;
    std::vector<etcd::WatchTarget> created_;
    std::vector<std::int64_t> dropped_;
    std::size_t asked_ = 0;
};

/// All members. Their answers come from its thread, as gRPC's do. Outlives whatever asks.
class FakeCluster {
public:
    /// `member` is "host:port". Nothing: it does not answer.
    using Answerer = std::function<std::optional<AnyReply>(
        const std::string& member, const AnyRequest&, const std::string& token
    )>;

    explicit FakeCluster(Answerer answer) : answer_{std::move(answer)} {}
    FakeCluster(const FakeCluster&) = delete;
    FakeCluster& operator=(const FakeCluster&) = delete;
    ~FakeCluster() {
        {
            const std::lock_guard guard{lock_};
            over_ = true;
        }
        changed_.notify_all();
        thread_.join();
    }

    etcd::Dial dial() {
        return [this](const etcd::WireOptions& options) {
            return std::unique_ptr<etcd::Wire>{std::make_unique<Member>(*this, options.target)};
        };
    }
    /// How often a member was asked, and how many calls were given up.
    std::size_t asked(const std::string& member) {
        const std::lock_guard guard{lock_};
        return asked_[member];
    }
    std::size_t cancelled() {
        const std::lock_guard guard{lock_};
        return cancelled_;
    }
    /// Blocks until there have been `count` streams; the last.
    std::shared_ptr<FakeWatch> stream(std::size_t count) {
        std::unique_lock guard{lock_};
        changed_.wait(guard, [&] { return streams_.size() >= count; });
        return streams_.back();
    }

private:
    struct Handle : etcd::Call {
        explicit Handle(FakeCluster& cluster_) : cluster{cluster_} {}
        void cancel() noexcept override {
            const std::lock_guard guard{cluster.lock_};
            ++cluster.cancelled_;
        }
        FakeCluster& cluster;
    };
    struct Member : AskingWire<Member> {
        Member(FakeCluster& cluster_, std::string name_)
            : cluster{cluster_}, name{std::move(name_)} {}
        template <class Request, class Reply>
        Handle ask(const Request& request, const etcd::CallOptions& options, Done<Reply> done) {
            cluster.post([this, request, token = options.token, done = std::move(done)]() mutable {
                auto said = cluster.answer_(name, request, token);
                if (!said) return;
                if (auto* const status = std::get_if<etcd::Status>(&*said)) {
                    done({.status = std::move(*status), .reply = {}});
                } else {
                    done({.status = {}, .reply = std::get<Reply>(std::move(*said))});
                }
            });
            {
                const std::lock_guard guard{cluster.lock_};
                ++cluster.asked_[name];
            }
            return std::make_shared<FakeCluster::Handle>(cluster);
        }
        std::shared_ptr<etcd::WatchCall> watch(
            const etcd::CallOptions&, etcd::WatchHandlers handlers
        ) override {
            auto made = std::make_shared<FakeWatch>(std::move(handlers));
            const std::lock_guard guard{cluster.lock_};
            cluster.streams_.push_back(made);
            cluster.changed_.notify_all();
            return made;
        }
        FakeCluster& cluster;
        const std::string name;
    };

    void post(std::move_only_function<void()> work) {
        const std::lock_guard guard{lock_};
        work_.push_back(std::move(work));
        changed_.notify_all();
    }
    void run() {
        std::unique_lock guard{lock_};
        for (;;) {
            changed_.wait(guard, [this] { return over_ || !work_.empty(); });
            if (work_.empty()) return;
            auto work = std::move(work_.front());
            work_.pop_front();
            guard.unlock();
            work();
            work = nullptr;
            guard.lock();
        }
    }

    const Answerer answer_;
    std::mutex lock_;
    std::condition_variable changed_;
    std::deque<std::move_only_function<void()>> work_;
    std::map<std::string, std::size_t> asked_;
    std::vector<std::shared_ptr<FakeWatch>> streams_;
    std::size_t cancelled_ = 0;
    bool over_ = false;
    std::thread thread_{[this] { run(); }};
};

}  // namespace stator::test
