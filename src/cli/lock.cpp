#include "stator/store/lock.hpp"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/child_process.hpp"
#include "cli/chosen_store.hpp"
#include "cli/commands.hpp"
#include "cli/frame.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::cli {

namespace {

using store::Lock;
using Store = std::shared_ptr<store::KeyValueStore>;

constexpr int status_not_found = 127;  // as shells have them
constexpr int status_not_runnable = 126;
/// How long a command has to end after we were told to.
constexpr Duration patience = std::chrono::seconds{10};

std::vector<std::string> environment_of(const Lock& lock) {
    return {
        "STATOR_LOCK_NAME=" + lock.name(),
        "STATOR_LOCK_KEY=" + lock.key(),
        fmt::format("STATOR_LOCK_TOKEN={}", lock.fencing_token()),
        fmt::format("STATOR_LOCK_MODE={}", to_string(lock.mode())),
    };
}

void tell(const Lock& lock, Duration waited) {
    const nlohmann::ordered_json object{
        {"lock", lock.name()},
        {"mode", to_string(lock.mode())},
        {"token", lock.fencing_token()},
        {"waited_ms", std::chrono::duration<double, std::milli>{waited}.count()},
    };
    const auto line =
        object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    std::fwrite(line.data(), 1, line.size(), stderr);
}

Failure cannot_run(const Error& error) {
    return {error.code() == ErrorCode::not_found ? status_not_found : status_not_runnable, error};
}

/// The command's status. A command that must not go on is asked to end, then killed: soon where
/// the lock is lost, since others will have it.
Task<int> run_command(ChildProcess* child, const Lock* lock) {
    const auto ended = co_await as_result(when_any(child->wait(), lock->session().until_lost()));
    if (ended) co_return std::get<0>(*ended);
    const bool lost = ended.error().detail() == "store.session_lost";
    const auto grace = lost ? std::min(lock->session().ttl() / 20, patience) : patience;
    (void)co_await shielded(child->end(Deadline::in(grace)));
    throw ended.error();
}

Task<std::optional<Failure>> hold_and_run(Store store, LockArguments arguments, int* status) {
    const auto begun = Clock::current().now();
    const auto lock = co_await Lock::acquire(
        std::move(store),
        arguments.name,
        {.holder = {},
         .ttl = arguments.ttl,
         .deadline = arguments.timeout ? Deadline::in(*arguments.timeout) : Deadline::never(),
         .bound_to = {},
         .mode = arguments.shared ? store::LockMode::shared : store::LockMode::exclusive}
    );
    if (arguments.json) tell(lock, Clock::current().now() - begun);
    std::optional<ChildProcess> child;
    std::optional<Failure> failure;
    try {
        child.emplace(ChildProcess::start(arguments.command, environment_of(lock)));
    } catch (const Error& error) {
        failure = cannot_run(error);
    }
    const auto ended = failure ? Result<int>{0} : co_await as_result(run_command(&*child, &lock));
    (void)co_await as_result(shielded(lock.release()));
    if (!ended) throw ended.error();
    *status = *ended;
    co_return failure;
}

}  // namespace

int lock(const LockArguments& arguments) {
    int status = status_ok;
    const int framed = run_with_store(arguments.store, {}, [&](ChosenStore chosen) {
        return hold_and_run(std::move(chosen.store), arguments, &status);
    });
    return framed == status_ok ? status : framed;
}

}  // namespace stator::cli
