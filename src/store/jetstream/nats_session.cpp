#include "store/jetstream/nats_session.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "stator/base/backoff.hpp"
#include "stator/base/random.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/semaphore.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::store::jetstream {

namespace {

using namespace std::chrono_literals;

/// Of a write that holds only if nobody else has written to the bucket.
constexpr BackoffPolicy between_attempts{.initial = 5ms, .max = 200ms, .factor = 2.0};

using Records = std::vector<std::optional<Record>>;

class NatsSession final : public SessionHold {
public:
    explicit NatsSession(std::shared_ptr<Bucket> bucket)
        : SessionHold{bucket->ttl()},
          bucket_{std::move(bucket)},
          owner_{fmt::format("{:016x}", thread_random()())} {}

    /// Every key is there for a TTL from now on, or one of them was gone.
    Task<bool> renew() override {
        const auto turn = co_await turn_.acquire();
        std::vector<Task<bool>> tasks;
        for (const auto& [key, kept] : keys_) tasks.push_back(renew_one(key));
        const auto kept = co_await when_all(std::move(tasks));
        co_return std::ranges::all_of(kept, [](bool still) { return still; });
    }

    Task<GuardedReply> write(GuardedWrite write) override {
        if (write.puts.size() != 1)
            throw Error{
                ErrorCode::unimplemented,
                "store.transaction",
                "in a bucket of NATS one key is written at a time"
            };
        const bool alone = write.guards.size() == 1 && write.guards[0].key == write.puts[0].key;
        std::optional<Permit> whole;
        if (!alone) whole = co_await bucket_->whole().acquire();
        const auto until = bucket_->deadline();
        Backoff backoff{between_attempts};
        for (;;) {
            {
                // Not while others are waited for: renewals need it.
                const auto turn = co_await turn_.acquire();
                // Before the keys are looked at: it does not hold if anything is written since.
                const auto last = alone ? 0 : co_await bucket_->last_sequence();
                const auto found = co_await look(&write.guards);
                if (!hold(write.guards, found)) co_return reply_of(found);
                if (auto done = co_await put(&write, &found, last, alone))
                    co_return std::move(*done);
            }
            if (until.passed())
                throw Error{
                    ErrorCode::overloaded,
                    "store.busy_bucket",
                    "others wrote to the bucket each time that this was about to be written"
                };
            co_await sleep_until(earliest(until, Deadline::in(backoff.next())));
        }
    }

    Task<> end() override {
        const auto turn = co_await turn_.acquire();
        std::vector<Task<>> tasks;
        for (const auto& [key, kept] : std::exchange(keys_, {}))
            tasks.push_back(remove(key, kept.sequence));
        co_await when_all(std::move(tasks));
    }

private:
    struct Kept {
        std::string value;
        std::uint64_t sequence = 0;
        std::uint64_t revision = 0;
        std::uint64_t created = 0;
    };

    Task<bool> renew_one(std::string key) {
        for (;;) {
            const auto kept = keys_.find(key);
            const auto sequence = co_await bucket_->write(
                {.key = key,
                 .value = kept->second.value,
                 .owner = owner_,
                 .revision = kept->second.revision,
                 .created = kept->second.created,
                 .expected = kept->second.sequence}
            );
            if (sequence) {
                kept->second.sequence = *sequence;
                co_return true;
            }
            const auto now = co_await bucket_->get(key);
            if (!is_kept_by(now, owner_)) co_return false;
            kept->second.sequence = sequence_of(now);  // of a renewal that was given up
        }
    }

    Task<Records> look(const std::vector<Guard>* guards) {
        std::vector<Task<std::optional<Record>>> tasks;
        for (const auto& guard : *guards) tasks.push_back(bucket_->get(guard.key));
        co_return co_await when_all(std::move(tasks));
    }

    static bool hold(const std::vector<Guard>& guards, const Records& found) {
        for (std::size_t i = 0; i < guards.size(); ++i) {
            if (created_of(found[i]) != guards[i].created) return false;
        }
        return true;
    }

    static GuardedReply reply_of(const Records& found) {
        GuardedReply reply;
        for (const auto& record : found)
            reply.found.push_back(
                record && !record->removed ? std::optional{record->entry} : std::nullopt
            );
        return reply;
    }

    /// Nothing if something was written meanwhile.
    Task<std::optional<GuardedReply>> put(
        const GuardedWrite* write, const Records* found, std::uint64_t last, bool alone
    ) {
        const auto& wanted = write->puts.front();
        Change change{.key = wanted.key, .value = wanted.value, .owner = owner_};
        for (std::size_t i = 0; i < write->guards.size(); ++i) {
            if (write->guards[i].key == wanted.key) change.created = created_of((*found)[i]);
        }
        if (alone) {
            change.expected = sequence_of(found->front());
        } else {
            change.expected_of_all = last;
        }
        const auto sequence = co_await bucket_->write(change);
        if (!sequence) co_return std::nullopt;
        const auto created = change.created == 0 ? *sequence : change.created;
        keys_.insert_or_assign(wanted.key, Kept{wanted.value, *sequence, *sequence, created});
        co_return GuardedReply{.done = true, .revision = *sequence};
    }

    Task<> remove(std::string key, std::uint64_t expected) {
        for (;;) {
            const Change removal{.key = key, .remove = true, .owner = owner_, .expected = expected};
            if (co_await bucket_->write(removal)) co_return;
            const auto now = co_await bucket_->get(key);
            if (!is_kept_by(now, owner_)) co_return;
            expected = sequence_of(now);
        }
    }

    const std::shared_ptr<Bucket> bucket_;
    const std::string owner_;
    std::map<std::string, Kept, std::less<>> keys_;
    Semaphore turn_{1};  // of whoever writes these keys
};

}  // namespace

std::shared_ptr<SessionHold> open_session(std::shared_ptr<Bucket> bucket, Duration ttl) {
    if (ttl != Duration::zero() && ttl != bucket->ttl())
        throw Error{
            ErrorCode::invalid_request,
            "store.ttl",
            fmt::format("keys of the bucket {} have a time of their own", bucket->name())
        };
    return std::make_shared<NatsSession>(std::move(bucket));
}

}  // namespace stator::store::jetstream
