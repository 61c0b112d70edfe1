// The JSON API of JetStream: subjects below $JS.API, durations in nanoseconds, errors with a code.
#include "stator/nats/jetstream.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "nats/base64.hpp"
#include "stator/base/backoff.hpp"
#include "stator/codec/json.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::nats {

using namespace std::chrono_literals;

namespace {

/// The codes of the server's errors that are told apart.
enum class ApiError : int {
    no_consumer = 10014,
    no_message = 10037,
    not_for_account = 10039,
    stream_differs = 10058,
    no_stream = 10059,
    wrong_sequence = 10071,
    not_enabled = 10076,
};

constexpr int status_not_found = 404;
constexpr std::size_t longest_name = 200;
/// A name nobody waits for, after so long without use.
constexpr Duration unused_for = 5s;
/// Of one attempt of several.
constexpr Duration attempt_time = 2s;
constexpr BackoffPolicy between_attempts{.initial = 20ms, .max = 500ms, .factor = 2.0};

Error bad_answer(std::string_view why) {
    return Error{
        ErrorCode::protocol,
        "nats.jetstream_answer",
        fmt::format("JetStream's answer cannot be read: {}", why)
    };
}

/// What the answer has under a name, of the type that it must have there.
template <class T>
T field(const Document& of, const char* name, T otherwise) {
    const auto found = of.find(name);
    if (found == of.end() || found->is_null()) return otherwise;
    const bool fits = [&] {
        if constexpr (std::is_same_v<T, std::string>)
            return found->is_string();
        else if constexpr (std::is_same_v<T, bool>)
            return found->is_boolean();
        else
            return found->is_number_integer();
    }();
    if (!fits) throw bad_answer(fmt::format("{} is of another type", name));
    return found->template get<T>();
}

Error error_of(const Document& error) {
    const auto code = field<int>(error, "err_code", 0);
    const auto text =
        fmt::format("JetStream: {}", field<std::string>(error, "description", "an error"));
    switch (static_cast<ApiError>(code)) {
        case ApiError::no_consumer:
            return Error{ErrorCode::not_found, "nats.no_consumer", text};
        case ApiError::no_stream:
            return Error{ErrorCode::not_found, "nats.no_stream", text};
        case ApiError::no_message:
            return Error{ErrorCode::not_found, "nats.no_message", text};
        case ApiError::wrong_sequence:
            return Error{ErrorCode::already_exists, "nats.wrong_sequence", text};
        case ApiError::stream_differs:
            return Error{ErrorCode::already_exists, "nats.stream_differs", text};
        case ApiError::not_for_account:
        case ApiError::not_enabled:
            return Error{ErrorCode::unimplemented, "nats.no_jetstream", text};
    }
    constexpr int server_failed = 500;
    const bool ours = field<int>(error, "code", 0) < server_failed;
    return Error{
        ours ? ErrorCode::invalid_request : ErrorCode::unavailable, "nats.jetstream", text
    };
}

/// The object of an answer. Throws the error that it is.
Document answer_in(const Message& message) {
    auto document = decode_json(message.payload.view());
    if (!document) throw bad_answer(document.error().message());
    if (!document->is_object()) throw bad_answer("no object");
    if (const auto error = document->find("error"); error != document->end()) {
        if (!error->is_object()) throw bad_answer("an error without words");
        throw error_of(*error);
    }
    return std::move(*document);
}

Document part(const Document& of, const char* name) {
    const auto found = of.find(name);
    return found != of.end() && found->is_object() ? *found : Document::object();
}

Task<Document> ask(Client client, std::string subject, Document body, Deadline deadline) {
    auto text = body.is_null() ? Result<std::string>{""} : encode_json(body);
    if (!text) throw text.error();
    const auto answer = co_await as_result(
        client.request({.subject = std::move(subject), .payload = Bytes::copy_of(*text)}, deadline)
    );
    if (answer) co_return answer_in(*answer);
    if (answer.error().detail() != "nats.no_responders") throw answer.error();
    throw Error{ErrorCode::unimplemented, "nats.no_jetstream", "the NATS server has no JetStream"};
}

Document config_of(const StreamOptions& options) {
    Document config{
        {"name", options.name},
        {"subjects", options.subjects},
        {"retention", options.work_queue ? "workqueue" : "limits"},
        {"storage", "file"},
        {"discard", options.work_queue || options.refuse_more ? "new" : "old"},
        {"num_replicas", options.replicas},
        {"max_age", options.max_age.count()},
        {"allow_direct", options.allow_direct},
        {"duplicate_window", options.duplicate_window.count()},
    };
    if (options.max_per_subject != 0) config["max_msgs_per_subject"] = options.max_per_subject;
    if (options.rollup) config["allow_rollup_hdrs"] = true;
    return config;
}

StreamState stream_state_of(const Document& answer) {
    const auto config = part(answer, "config");
    const auto state = part(answer, "state");
    StreamState made;
    made.options.name = field<std::string>(config, "name", "");
    if (const auto subjects = config.find("subjects");
        subjects != config.end() && subjects->is_array()) {
        for (const auto& subject : *subjects) {
            if (subject.is_string()) made.options.subjects.push_back(subject.get<std::string>());
        }
    }
    made.options.work_queue = field<std::string>(config, "retention", "") == "workqueue";
    made.options.max_age = Duration{field<std::int64_t>(config, "max_age", 0)};
    const auto per_subject = field<std::int64_t>(config, "max_msgs_per_subject", 0);
    if (per_subject > 0) made.options.max_per_subject = static_cast<std::uint64_t>(per_subject);
    made.options.duplicate_window = Duration{field<std::int64_t>(config, "duplicate_window", 0)};
    made.options.allow_direct = field<bool>(config, "allow_direct", false);
    made.options.replicas = field<std::uint64_t>(config, "num_replicas", 1);
    made.options.rollup = field<bool>(config, "allow_rollup_hdrs", false);
    made.options.refuse_more = field<std::string>(config, "discard", "") == "new";
    made.messages = field<std::uint64_t>(state, "messages", 0);
    made.last_sequence = field<std::uint64_t>(state, "last_seq", 0);
    made.created = field<std::string>(answer, "created", "");
    return made;
}

Document config_of(const ConsumerOptions& options) {
    const bool from_there = !options.last_per_subject && options.from_sequence != 0;
    Document config{
        {"deliver_policy",
         options.last_per_subject ? "last_per_subject"
         : from_there             ? "by_start_sequence"
                                  : "all"},
        {"ack_policy", options.ack_wait > Duration::zero() ? "explicit" : "none"},
        {"replay_policy", "instant"},
        {"max_deliver", options.most_deliveries},
    };
    if (!options.durable.empty()) {
        config["durable_name"] = options.durable;
    } else {
        config["inactive_threshold"] = unused_for.count();
        config["mem_storage"] = true;
        config["num_replicas"] = 1;
    }
    if (from_there) config["opt_start_seq"] = options.from_sequence;
    if (!options.filter.empty()) config["filter_subject"] = options.filter;
    if (!options.deliver_to.empty()) config["deliver_subject"] = options.deliver_to;
    if (options.ack_wait > Duration::zero()) config["ack_wait"] = options.ack_wait.count();
    if (options.most_unacknowledged != 0) config["max_ack_pending"] = options.most_unacknowledged;
    if (options.heartbeat > Duration::zero()) {
        config["idle_heartbeat"] = options.heartbeat.count();
        config["flow_control"] = true;
    }
    return config;
}

ConsumerState consumer_state_of(const Document& answer) {
    return {
        .name = field<std::string>(answer, "name", ""),
        .pending = field<std::uint64_t>(answer, "num_pending", 0),
        .unacknowledged = field<std::uint64_t>(answer, "num_ack_pending", 0),
    };
}

template <class T>
bool read_number(std::string_view text, T& number) {
    const auto* const end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, number);
    return read.ec == std::errc{} && read.ptr == end;
}

/// Where nobody answers there is no stream, which does not come back by itself.
bool may_be_tried_again(const Error& error) {
    return error.detail() != "nats.no_responders" && may_pass(error);
}

}  // namespace

bool is_name_letter(char letter) noexcept {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9') || letter == '-' || letter == '_';
}

bool is_stream_name(std::string_view name) noexcept {
    return !name.empty() && name.size() <= longest_name &&
           std::ranges::all_of(name, is_name_letter);
}

bool may_pass(const Error& error) noexcept {
    return error.retryable() || error.code() == ErrorCode::deadline_exceeded;
}

std::optional<Delivery> delivery_of(std::string_view reply) {
    constexpr std::string_view start = "$JS.ACK.";
    if (!reply.starts_with(start)) return std::nullopt;
    std::vector<std::string_view> parts;
    for (auto rest = reply.substr(start.size());;) {
        const auto dot = rest.find('.');
        parts.push_back(rest.substr(0, dot));
        if (dot == rest.npos) break;
        rest.remove_prefix(dot + 1);
    }
    constexpr std::size_t short_form = 7;
    constexpr std::size_t in_front = 2;  // domain and account, and something at the end
    if (parts.size() < short_form) return std::nullopt;
    const std::size_t at = parts.size() == short_form ? 2 : in_front + 2;
    constexpr std::size_t numbers = 5;
    if (parts.size() < at + numbers) return std::nullopt;
    Delivery made;
    const bool good =
        read_number(parts[at], made.deliveries) && read_number(parts[at + 1], made.sequence) &&
        read_number(parts[at + 2], made.consumer_sequence) &&
        read_number(parts[at + 3], made.stored_ns) && read_number(parts[at + 4], made.pending);
    return good ? std::optional{made} : std::nullopt;
}

Task<bool> JetStream::available(Deadline deadline) const {
    const auto client = client_;
    const auto answer = co_await as_result(ask(client, "$JS.API.INFO", {}, deadline));
    if (answer) co_return true;
    if (answer.error().detail() == "nats.no_jetstream") co_return false;
    throw answer.error();
}

Task<StreamState> JetStream::create_stream(StreamOptions options, Deadline deadline) const {
    const auto client = client_;
    auto subject = fmt::format("$JS.API.STREAM.CREATE.{}", options.name);
    co_return stream_state_of(co_await ask(client, std::move(subject), config_of(options), deadline)
    );
}

Task<std::optional<StreamState>> JetStream::stream(std::string name, Deadline deadline) const {
    const auto client = client_;
    auto answer =
        co_await as_result(ask(client, fmt::format("$JS.API.STREAM.INFO.{}", name), {}, deadline));
    if (answer) co_return stream_state_of(*answer);
    if (answer.error().detail() == "nats.no_stream") co_return std::nullopt;
    throw answer.error();
}

Task<bool> JetStream::delete_stream(std::string name, Deadline deadline) const {
    const auto client = client_;
    const auto answer =
        co_await as_result(ask(client, fmt::format("$JS.API.STREAM.DELETE.{}", name), {}, deadline)
        );
    if (answer) co_return true;
    if (answer.error().detail() == "nats.no_stream") co_return false;
    throw answer.error();
}

Task<std::uint64_t> JetStream::purge(std::string stream, std::string subject, Deadline deadline)
    const {
    const auto client = client_;
    Document body{{"filter", std::move(subject)}};
    const auto answer = co_await ask(
        client, fmt::format("$JS.API.STREAM.PURGE.{}", stream), std::move(body), deadline
    );
    co_return field<std::uint64_t>(answer, "purged", 0);
}

Task<ConsumerState> JetStream::create_consumer(
    std::string stream, ConsumerOptions options, Deadline deadline
) const {
    const auto client = client_;
    auto subject =
        options.durable.empty()
            ? fmt::format("$JS.API.CONSUMER.CREATE.{}", stream)
            : fmt::format("$JS.API.CONSUMER.DURABLE.CREATE.{}.{}", stream, options.durable);
    Document body{{"stream_name", stream}, {"config", config_of(options)}};
    co_return consumer_state_of(co_await ask(client, std::move(subject), std::move(body), deadline)
    );
}

Task<ConsumerState> JetStream::consumer(std::string stream, std::string name, Deadline deadline)
    const {
    const auto client = client_;
    co_return consumer_state_of(
        co_await ask(client, fmt::format("$JS.API.CONSUMER.INFO.{}.{}", stream, name), {}, deadline)
    );
}

Task<bool> JetStream::delete_consumer(std::string stream, std::string name, Deadline deadline)
    const {
    const auto client = client_;
    const auto answer = co_await as_result(
        ask(client, fmt::format("$JS.API.CONSUMER.DELETE.{}.{}", stream, name), {}, deadline)
    );
    if (answer) co_return true;
    if (answer.error().code() == ErrorCode::not_found) co_return false;
    throw answer.error();
}

Task<Stored> JetStream::publish(Publication message, Deadline deadline) const {
    const auto client = client_;
    const auto answer = answer_in(co_await client.request(std::move(message), deadline));
    const auto sequence = field<std::uint64_t>(answer, "seq", 0);
    if (sequence == 0) throw bad_answer("no sequence");
    co_return Stored{sequence, field<bool>(answer, "duplicate", false)};
}

Task<Stored> JetStream::publish_surely(Publication message, Deadline deadline) const {
    const auto self = *this;
    Backoff backoff{between_attempts};
    for (;;) {
        const auto outcome =
            co_await as_result(self.publish(message, earliest(deadline, Deadline::in(attempt_time)))
            );
        if (outcome) co_return *outcome;
        if (!may_be_tried_again(outcome.error()) || deadline.passed()) throw outcome.error();
        co_await sleep_until(earliest(deadline, Deadline::in(backoff.next())));
    }
}

Task<std::optional<JetStream::Found>> JetStream::last_of(
    std::string stream, std::string subject, Deadline deadline
) const {
    const auto client = client_;
    auto message = co_await client.request(
        {.subject = fmt::format("$JS.API.DIRECT.GET.{}.{}", stream, subject)}, deadline
    );
    if (message.status == status_not_found) co_return std::nullopt;
    const auto* const sequence = message.header("Nats-Sequence");
    Found found;
    if (message.status != 0 || sequence == nullptr || !read_number(*sequence, found.sequence))
        throw bad_answer(fmt::format("status {} and no sequence", message.status));
    message.subject = std::move(subject);
    found.message = std::move(message);
    co_return found;
}

Task<std::optional<JetStream::Stamped>> JetStream::last_stored(
    std::string stream, std::string subject, Deadline deadline
) const {
    const auto client = client_;
    Document body{{"last_by_subj", std::move(subject)}};
    const auto answer = co_await as_result(
        ask(client, fmt::format("$JS.API.STREAM.MSG.GET.{}", stream), std::move(body), deadline)
    );
    if (!answer && answer.error().detail() == "nats.no_message") co_return std::nullopt;
    if (!answer) throw answer.error();
    const auto message = part(*answer, "message");
    const auto payload = from_base64(field<std::string>(message, "data", ""));
    Stamped found{
        .sequence = field<std::uint64_t>(message, "seq", 0),
        .stored = field<std::string>(message, "time", "")
    };
    if (!payload || found.sequence == 0) throw bad_answer("no message");
    found.payload = Bytes::copy_of(*payload);
    co_return found;
}

}  // namespace stator::nats
