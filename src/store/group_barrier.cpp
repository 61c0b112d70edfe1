#include "stator/store/group_barrier.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "stator/base/text.hpp"
#include "stator/codec/payload.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/store/steady_watch.hpp"
#include "store/queue_place.hpp"

// Keys below v1/barriers/<name>/:
//   data         of the leader: the number of workers, a line's end, the data
//   worker/<id>  of each worker that has joined
//   complete     of the leader: the ids of those it has completed with, as JSON
//   abort        of the leader: why it did not
// All are kept by their writer's session, so nothing of a barrier outlives its members.

namespace stator::store {

using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t most_workers = 100'000;
/// How long telling the workers may take that it is off.
constexpr Duration abort_timeout = 1s;

struct Keys {
    explicit Keys(std::string_view name)
        : prefix{fmt::format("v1/barriers/{}/", name)},
          data{prefix + "data"},
          complete{prefix + "complete"},
          abort{prefix + "abort"},
          workers{prefix + "worker/"} {}
    std::string worker(std::string_view id) const { return workers + std::string{id}; }

    std::string prefix;
    std::string data;
    std::string complete;
    std::string abort;
    std::string workers;
};

using Ids = std::vector<std::string>;

std::string ids_text(const Ids& ids) {
    const auto text = Payload<Ids>::encode(ids, PayloadCodec::json);
    if (!text) throw text.error();
    return text->to_string();
}

Ids ids_in(const std::string& text) {
    auto ids = Payload<Ids>::decode(Bytes::copy_of(text), PayloadCodec::json);
    if (!ids) throw ids.error();
    return std::move(*ids);
}

bool has_id(const std::string& text, const std::string& id) {
    const auto ids = ids_in(text);
    return std::ranges::find(ids, id) != ids.end();
}

Error store_closed() {
    return Error{ErrorCode::unavailable, "store.closed", "the store is closed"};
}

/// A leader's barrier while it goes on.
struct Led {
    Led(std::string_view name_, std::uint32_t workers_)
        : keys{name_}, name{name_}, workers{workers_} {}

    /// Those who have joined, in the order in which they came.
    Ids present() const {
        std::vector<const Entry*> found;
        for (const auto& [key, entry] : view.entries()) {
            if (key.starts_with(keys.workers)) found.push_back(&entry);
        }
        std::ranges::sort(found, {}, [](const Entry* entry) { return entry->created; });
        Ids ids;
        for (const auto* entry : found) ids.push_back(entry->key.substr(keys.workers.size()));
        return ids;
    }

    const Keys keys;
    const std::string name;
    const std::uint32_t workers;
    Session session;
    std::uint64_t created = 0;
    QueueView view;
    std::set<std::string> joined;
    bool decided = false;  // it has been asked for, at least
};

Task<> publish_data(Led* led, std::string data) {
    GuardedWrite write;
    write.guards.push_back({led->keys.data, 0});
    write.puts.push_back({led->keys.data, fmt::format("{}\n{}", led->workers, data)});
    const auto reply = co_await led->session.write(std::move(write));
    if (!reply.done)
        throw Error{
            ErrorCode::already_exists,
            "store.barrier_leader",
            fmt::format("the barrier {} has a leader", led->name)
        };
    led->created = reply.revision;
}

/// The leader's last word, unless it has had one, of which the reply tells then.
Task<GuardedReply> decide(Led* led, std::string key, std::string value) {
    GuardedWrite write;
    write.guards.push_back({led->keys.data, led->created});
    write.guards.push_back({led->keys.complete, 0});
    write.guards.push_back({led->keys.abort, 0});
    write.puts.push_back({std::move(key), std::move(value)});
    return led->session.write(std::move(write));
}

Error not_what_they_were(const Led& led) {
    return Error{
        ErrorCode::unavailable,
        "store.session_lost",
        fmt::format("the keys of the barrier {} are not what they were", led.name)
    };
}

Task<> complete(Led* led, const Ids* ids) {
    led->decided = true;
    const auto reply = co_await decide(led, led->keys.complete, ids_text(*ids));
    if (!reply.done) throw not_what_they_were(*led);
}

/// Those it was complete with before, though the answer has not come; nothing: it is off.
Task<std::optional<Ids>> abort(Led* led, std::string why) {
    const auto reply = co_await decide(led, led->keys.abort, std::move(why));
    if (reply.done) co_return std::nullopt;
    const auto& data = reply.found[0];
    const auto& completed = reply.found[1];
    const bool own = data && data->created == led->created;
    if (!own || !completed) throw not_what_they_were(*led);
    co_return ids_in(completed->value);
}

void check_nobody_left(Led& led, const Ids& present) {
    for (const auto& id : led.joined) {
        if (std::ranges::find(present, id) != present.end()) continue;
        throw Error{
            ErrorCode::disconnected,
            "store.barrier_member_gone",
            fmt::format(
                "worker {} left the barrier {} before all {} had come", id, led.name, led.workers
            )
        };
    }
    led.joined.insert(present.begin(), present.end());
}

Task<Ids> gather(Led* led, SteadyWatch* watch) {
    for (;;) {
        auto event = co_await watch->next();
        if (!event) throw store_closed();
        led->view.apply(std::move(*event));
        if (!led->view.contains(led->keys.data, led->created)) continue;  // from before it
        auto present = led->present();
        check_nobody_left(*led, present);
        if (present.size() < led->workers) continue;
        present.resize(led->workers);
        co_await complete(led, &present);
        co_return present;
    }
}

/// Until no worker is there any more: each leaves when it has seen how it ended.
Task<> until_left(Led* led, SteadyWatch* watch) {
    while (!led->present().empty()) {
        auto event = co_await watch->next();
        if (!event) co_return;
        led->view.apply(std::move(*event));
    }
}

Task<Ids> gather_or_lose(Led* led, SteadyWatch* watch, Deadline deadline) {
    auto ended =
        co_await with_deadline(deadline, when_any(gather(led, watch), led->session.until_lost()));
    co_return std::get<0>(std::move(ended));
}

Error in_words(const Led& led, const Error& error) {
    if (error.code() != ErrorCode::deadline_exceeded || !error.detail().empty()) return error;
    return Error{
        ErrorCode::deadline_exceeded,
        "store.barrier_wait",
        fmt::format(
            "{} of {} workers had come to the barrier {} in time",
            led.joined.size(),
            led.workers,
            led.name
        )
    };
}

Task<> end_well(Led* led, SteadyWatch* watch, Duration linger) {
    (void)co_await as_result(with_deadline(Deadline::in(linger), until_left(led, watch)));
    co_await led->session.close();
}

/// As `abort`; nothing, too, if that is not known.
Task<std::optional<Ids>> call_off(Led* led, SteadyWatch* watch, Error why, Duration linger) {
    // Whether the workers go on is worth some time; that they do not, they would see by themselves.
    const auto time = led->decided ? std::max(linger, abort_timeout) : abort_timeout;
    auto told = co_await as_result(with_deadline(Deadline::in(time), abort(led, why.message())));
    const bool hurry = !told || why.code() == ErrorCode::cancelled;
    co_await end_well(led, watch, hurry ? std::min(linger, abort_timeout) : linger);
    co_return told ? std::move(*told) : std::nullopt;
}

}  // namespace

Task<std::vector<std::string>> lead_barrier(
    std::shared_ptr<KeyValueStore> store,
    std::string name,
    std::uint32_t workers,
    std::string data,
    BarrierOptions options
) {
    check_tool_name("the name of the barrier", name);
    if (workers == 0 || workers > most_workers)
        throw Error{
            ErrorCode::invalid_request,
            "store.barrier_size",
            fmt::format("a barrier has 1 to {} workers, not {}", most_workers, workers)
        };
    Led led{name, workers};
    led.session = co_await store->open_session({.bound_to = {}, .ttl = options.ttl});
    co_await publish_data(&led, std::move(data));
    auto watch = co_await SteadyWatch::open(std::move(store), led.keys.prefix);
    auto ids = co_await as_result(gather_or_lose(&led, &watch, options.deadline));
    // However it ended, the workers are told, even if nobody waits for this any more.
    if (!ids) {
        const auto why = in_words(led, ids.error());
        auto complete = co_await as_result(shielded(call_off(&led, &watch, why, options.linger)));
        if (!complete || !*complete) throw why;
        co_return std::move(**complete);
    }
    (void)co_await as_result(shielded(end_well(&led, &watch, options.linger)));
    co_return std::move(*ids);
}

namespace {

/// A worker's part while it goes on.
struct Joined {
    Joined(std::string_view name_, std::string_view id_) : keys{name_}, name{name_}, id{id_} {}

    const Keys keys;
    const std::string name;
    const std::string id;
    Session session;
    QueueView view;
    std::uint64_t leader = 0;  // when its data came to be; 0: not joined yet
    std::string data;
};

Error completed(const Joined& worker) {
    return Error{
        ErrorCode::already_exists,
        "store.barrier_completed",
        fmt::format("the barrier {} was complete before worker {} came", worker.name, worker.id)
    };
}

Error aborted(const Joined& worker, const std::string& why) {
    return Error{
        ErrorCode::disconnected,
        "store.barrier_aborted",
        fmt::format("the leader of the barrier {} gave up: {}", worker.name, why)
    };
}

/// Joins the leader that the view shows. What stands in the way is told, unless the leader is
/// another by now.
Task<> join(Joined* worker, const Entry* data) {
    const auto& keys = worker->keys;
    GuardedWrite write;
    const auto created = data->created;
    auto text = data->value;
    write.guards = {
        {keys.data, created}, {keys.complete, 0}, {keys.abort, 0}, {keys.worker(worker->id), 0}
    };
    write.puts.push_back({keys.worker(worker->id), worker->session.id()});
    const auto reply = co_await worker->session.write(std::move(write));
    if (reply.done) {
        worker->leader = created;
        worker->data = text.substr(text.find('\n') + 1);
        co_return;
    }
    if (!reply.found[0] || reply.found[0]->created != created) co_return;
    if (reply.found[1]) throw completed(*worker);
    if (reply.found[2]) throw aborted(*worker, reply.found[2]->value);
    throw Error{
        ErrorCode::already_exists,
        "store.barrier_worker",
        fmt::format("a worker {} has joined the barrier {}", worker->id, worker->name)
    };
}

/// Whether the leader has said that all are there.
bool is_complete(const Joined& worker) {
    const auto& keys = worker.keys;
    if (!worker.view.contains(keys.data, worker.leader))
        throw Error{
            ErrorCode::disconnected,
            "store.barrier_leader_gone",
            fmt::format("the leader of the barrier {} is gone", worker.name)
        };
    if (const auto* const why = worker.view.find(keys.abort)) throw aborted(worker, why->value);
    const auto* const complete = worker.view.find(keys.complete);
    if (complete == nullptr) return false;
    if (!has_id(complete->value, worker.id)) throw completed(worker);
    return true;
}

Task<> follow_leader(Joined* worker) {
    auto watch = co_await SteadyWatch::open(worker->session.store(), worker->keys.prefix);
    for (;;) {
        auto event = co_await watch.next();
        if (!event) throw store_closed();
        worker->view.apply(std::move(*event));
        const auto* const data = worker->view.find(worker->keys.data);
        if (worker->leader == 0 && data != nullptr) co_await join(worker, data);
        if (worker->leader != 0 && is_complete(*worker)) co_return;
    }
}

Task<> follow_or_lose(Joined* worker, Deadline deadline) {
    (void)co_await with_deadline(
        deadline, when_any(follow_leader(worker), worker->session.until_lost())
    );
}

Error in_words(const Joined& worker, const Error& error) {
    if (error.code() != ErrorCode::deadline_exceeded || !error.detail().empty()) return error;
    return Error{
        ErrorCode::deadline_exceeded,
        "store.barrier_wait",
        worker.leader == 0 ? fmt::format("no leader came to the barrier {} in time", worker.name)
                           : fmt::format("the barrier {} was not complete in time", worker.name)
    };
}

}  // namespace

Task<std::string> join_barrier(
    std::shared_ptr<KeyValueStore> store,
    std::string name,
    std::string worker,
    BarrierOptions options
) {
    check_tool_name("the name of the barrier", name);
    check_tool_name("the worker", worker);
    Joined joined{name, worker};
    joined.session = co_await store->open_session({.bound_to = {}, .ttl = options.ttl});
    const auto ended = co_await as_result(follow_or_lose(&joined, options.deadline));
    // The leader waits for this.
    (void)co_await as_result(shielded(joined.session.close()));
    if (!ended) throw in_words(joined, ended.error());
    co_return std::move(joined.data);
}

}  // namespace stator::store
