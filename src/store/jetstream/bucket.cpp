#include "store/jetstream/bucket.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "stator/base/random.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"
#include "store/jetstream/subject.hpp"

namespace stator::store::jetstream {

using namespace std::chrono_literals;
using nats::JetStream;

namespace {

constexpr std::string_view operation_header = "KV-Operation";
constexpr std::string_view owner_header = "X-Stator-Owner";
constexpr std::string_view revision_header = "X-Stator-Revision";
constexpr std::string_view created_header = "X-Stator-Created";
/// How long the server knows that a write is a repetition; no longer than what is written stays.
constexpr Duration duplicate_window = 1min;
constexpr Duration between_attempts = 20ms;
constexpr Duration attempt_time = 2s;

std::uint64_t number_in(const nats::Message& message, std::string_view name) {
    const auto* const text = message.header(name);
    std::uint64_t number = 0;
    if (text != nullptr) std::from_chars(text->data(), text->data() + text->size(), number);
    return number;
}

nats::Publication publication_of(const std::string& bucket, const Change& change) {
    nats::Publication made{.subject = subject_of(bucket, change.key)};
    if (!change.remove) made.payload = Bytes::copy_of(change.value);
    const auto add = [&](std::string_view key, std::string value) {
        made.headers.push_back({std::string{key}, std::move(value)});
    };
    add(nats::message_id_header,
        fmt::format("{:016x}{:016x}", thread_random()(), thread_random()()));
    if (change.remove) add(operation_header, "DEL");
    if (!change.owner.empty()) add(owner_header, change.owner);
    if (change.revision != 0) add(revision_header, std::to_string(change.revision));
    if (change.created != 0) add(created_header, std::to_string(change.created));
    if (change.expected) add(nats::expect_of_subject_header, std::to_string(*change.expected));
    if (change.expected_of_all)
        add(nats::expect_of_stream_header, std::to_string(*change.expected_of_all));
    return made;
}

bool is_gone(const Error& error) {
    return error.detail() == "nats.no_responders" || error.detail() == "nats.no_stream";
}

}  // namespace

void Record::came_as(std::uint64_t its_sequence) noexcept {
    sequence = its_sequence;
    if (entry.revision == 0) entry.revision = sequence;
    if (entry.created == 0) entry.created = sequence;
}

std::optional<Record> record_of(std::string_view bucket, const nats::Message& message) {
    auto key = key_of(bucket, message.subject);
    if (!key) return std::nullopt;
    Record record;
    record.entry.key = std::move(*key);
    record.entry.value = message.payload.to_string();
    record.entry.revision = number_in(message, revision_header);
    record.entry.created = number_in(message, created_header);
    // "DEL" and "PURGE", or the server's own marker, have no value.
    record.removed = message.header(operation_header) != nullptr ||
                     message.header("Nats-Marker-Reason") != nullptr;
    if (const auto* const owner = message.header(owner_header)) record.owner = *owner;
    return record;
}

Bucket::Bucket(nats::Client client, Options options)
    : options_{std::move(options)},
      stream_{"KV_" + options_.name},
      server_{std::move(client)},
      ttl_{options_.ttl} {}

Task<std::shared_ptr<Bucket>> Bucket::open(nats::Client client, Options options) {
    if (!nats::is_stream_name(options.name))
        throw Error{
            ErrorCode::invalid_request,
            "store.options",
            fmt::format("{} is no name of a bucket: letters, digits, - and _", options.name)
        };
    std::shared_ptr<Bucket> bucket{new Bucket{std::move(client), std::move(options)}};
    if (!co_await bucket->server_.available(bucket->deadline()))
        throw Error{
            ErrorCode::unimplemented, "nats.no_jetstream", "the NATS server has no JetStream"
        };
    co_await bucket->ensure(bucket->deadline());
    co_return bucket;
}

Task<> Bucket::ensure(Deadline deadline) {
    auto state = co_await server_.stream(stream_, deadline);
    if (!state) {
        if (!options_.create)
            throw Error{
                ErrorCode::not_found,
                "store.no_bucket",
                fmt::format("there is no bucket {}", options_.name)
            };
        const auto window = options_.ttl == Duration::zero()
                                ? duplicate_window
                                : std::min(duplicate_window, options_.ttl);
        state = co_await server_.create_stream(
            {.name = stream_,
             .subjects = {fmt::format("$KV.{}.>", options_.name)},
             .max_age = options_.ttl,
             .max_per_subject = 1,
             .duplicate_window = window,
             .allow_direct = true,
             .replicas = options_.replicas},
            deadline
        );
    }
    if (!state->options.allow_direct)
        throw Error{
            ErrorCode::unimplemented,
            "store.bucket",
            fmt::format("the bucket {} does not allow direct reads", options_.name)
        };
    ttl_ = state->options.max_age;
    repetitions_known_ = state->options.duplicate_window;
}

/// The server of a new connection may have nothing any more; it does not say so to who reads.
Task<> Bucket::look_again(Deadline deadline) {
    const auto connects = server_.client().counts().connects;
    if (connects == seen_connects_) co_return;
    co_await ensure(deadline);
    seen_connects_ = connects;
}

Task<std::optional<JetStream::Found>> Bucket::find(std::string key, Deadline deadline) {
    co_await look_again(deadline);
    co_return co_await server_.last_of(stream_, subject_of(options_.name, key), deadline);
}

Task<std::optional<Record>> Bucket::get(std::string key) {
    const auto last = co_await find_surely(std::move(key), deadline());
    if (!last) co_return std::nullopt;
    auto record = record_of(options_.name, last->message);
    if (record) record->came_as(last->sequence);
    co_return record;
}

Task<std::optional<JetStream::Found>> Bucket::find_surely(std::string key, Deadline until) {
    for (;;) {
        const auto attempt = earliest(until, Deadline::in(attempt_time));
        auto found = co_await as_result(find(key, attempt));
        if (found) co_return std::move(*found);
        // Reading is harmless, as often as it takes.
        if (!nats::may_pass(found.error()) || until.passed()) throw found.error();
        seen_connects_ = 0;
        co_await sleep_until(earliest(until, Deadline::in(between_attempts)));
    }
}

Task<std::optional<std::uint64_t>> Bucket::write(Change change) {
    const auto until = deadline();
    // The same at each attempt, with its id.
    const auto message = publication_of(options_.name, change);
    const auto begun = Clock::current().now();
    for (;;) {
        const auto stored = co_await as_result(server_.publish_surely(message, until));
        if (stored) co_return stored->sequence;
        if (stored.error().detail() == "nats.wrong_sequence") {
            // What is in the way may be an earlier attempt, of which the server knows no more.
            if (Clock::current().now() - begun < repetitions_known_ / 2) co_return std::nullopt;
            co_return co_await sequence_if_last(change.key, message, until);
        }
        if (!is_gone(stored.error()) || until.passed()) throw stored.error();
        co_await ensure(until);
        co_await sleep_until(earliest(until, Deadline::in(between_attempts)));
    }
}

/// The sequence of the key's last message if it is that one.
Task<std::optional<std::uint64_t>> Bucket::sequence_if_last(
    std::string key, nats::Publication message, Deadline until
) {
    const auto& id = message.headers.front().value;
    const auto last = co_await find_surely(std::move(key), until);
    if (!last) co_return std::nullopt;
    const auto* const there = last->message.header(nats::message_id_header);
    if (there == nullptr || *there != id) co_return std::nullopt;
    co_return last->sequence;
}

Task<std::uint64_t> Bucket::last_sequence() {
    const auto until = deadline();
    co_await look_again(until);
    const auto state = co_await server_.stream(stream_, until);
    co_return state ? state->last_sequence : 0;
}

}  // namespace stator::store::jetstream
