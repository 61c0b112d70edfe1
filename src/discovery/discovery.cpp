#include "stator/discovery/discovery.hpp"

#include <algorithm>
#include <map>
#include <mutex>

#include <fmt/format.h>

#include "discovery/record_reader.hpp"
#include "discovery/registration_shared.hpp"
#include "discovery/watch_core.hpp"
#include "stator/base/sink.hpp"
#include "stator/runtime/task_scope.hpp"

namespace stator::discovery {

struct Discovery::State {
    State(std::shared_ptr<store::KeyValueStore> store_, Options options_)
        : store{std::move(store_)},
          options{std::move(options_.routing), std::move(options_.prober), options_.probe_timeout} {
        if (!options.prober) options.routing.probing = false;
    }

    struct Shared {
        std::weak_ptr<EndpointWatch> watch;
        std::weak_ptr<EndpointWatch::Core> core;
    };
    std::vector<std::shared_ptr<EndpointWatch::Core>> cores() {
        std::vector<std::shared_ptr<EndpointWatch::Core>> alive;
        const std::lock_guard guard{lock};
        for (const auto& [endpoint, shared] : watches) {
            if (auto core = shared.core.lock()) alive.push_back(std::move(core));
        }
        return alive;
    }

    const std::shared_ptr<store::KeyValueStore> store;
    EndpointWatch::Core::Options options;
    const std::shared_ptr<RecordReader> reader = std::make_shared<RecordReader>();
    std::mutex lock;
    std::map<EndpointId, Shared> watches;  // guarded by lock
    TaskScope scope;                       // watches and followers, on the store's loop
};

namespace {

/// Keeps the state of a registration in step with its lease, until the record is taken back.
Task<> follow_lease(std::shared_ptr<Registration::Shared> shared) {
    for (;;) {
        const auto state = shared->lease.state();
        if (state == store::LeaseState::revoked) {
            shared->set(RegistrationState::deleted);
            co_return;
        }
        const bool lost = state == store::LeaseState::recovering;
        if (shared->set(lost ? RegistrationState::recovering : RegistrationState::registered)) {
            sink().report(
                lost ? Severity::warn : Severity::info,
                "stator::discovery",
                fmt::format("{} is {}", shared->key, to_string(shared->get()))
            );
        }
        (void)co_await shared->lease.wait_for_change(state);
    }
}

Task<> run_core(std::shared_ptr<EndpointWatch::Core> core) { co_await core->run(); }

}  // namespace

Discovery::Discovery(std::shared_ptr<store::KeyValueStore> store, Options options)
    : state_{std::make_shared<State>(std::move(store), std::move(options))} {}

Discovery::~Discovery() = default;

const std::shared_ptr<store::KeyValueStore>& Discovery::store() const noexcept {
    return state_->store;
}

Task<Registration> Discovery::publish(Instance instance, store::Lease lease) {
    return [](std::shared_ptr<State> state, Instance published, store::Lease under
           ) -> Task<Registration> {
        if (auto valid = published.check(); !valid) throw valid.error();
        auto record = to_record(published);
        if (!record) throw record.error();
        auto shared = std::make_shared<Registration::Shared>(
            state->store, std::move(under), std::make_shared<const Instance>(std::move(published))
        );
        if (!co_await state->store->create(shared->key, std::move(*record), shared->lease)) {
            throw Error{
                ErrorCode::already_exists,
                "registration.exists",
                fmt::format("{} is published already", shared->key)
            };
        }
        shared->set(RegistrationState::registered);
        if (shared->lease) state->scope.spawn_on(state->store->loop(), follow_lease(shared));
        co_return Registration{std::move(shared)};
    }(state_, std::move(instance), std::move(lease));
}

Task<std::shared_ptr<EndpointWatch>> Discovery::watch(EndpointId endpoint) {
    return [](std::shared_ptr<State> state, EndpointId id) -> Task<std::shared_ptr<EndpointWatch>> {
        std::shared_ptr<EndpointWatch> watch;
        std::shared_ptr<EndpointWatch::Core> core;
        {
            const std::lock_guard guard{state->lock};
            auto& shared = state->watches[id];
            watch = shared.watch.lock();
            core = shared.core.lock();
            if (!watch) {
                core = std::make_shared<EndpointWatch::Core>(
                    id, state->store, state->reader, state->options, state->scope.token()
                );
                watch = std::make_shared<EndpointWatch>(core);
                shared = {watch, core};
                state->scope.spawn_on(state->store->loop(), run_core(core));
            }
        }
        co_await core->wait_until_read();
        co_return watch;
    }(state_, std::move(endpoint));
}

void Discovery::report(std::string_view address, LinkEvent event) {
    for (const auto& core : state_->cores()) core->report(address, event);
}

void Discovery::report(InstanceId instance, LinkEvent event) {
    for (const auto& core : state_->cores()) core->report(instance, event);
}

Task<std::vector<Instance>> Discovery::list_all() {
    return [](std::shared_ptr<State> state) -> Task<std::vector<Instance>> {
        std::vector<Instance> instances;
        for (const auto& entry :
             co_await state->store->list(fmt::format("{}/", instances_bucket))) {
            if (const auto instance = state->reader->read(entry)) instances.push_back(*instance);
        }
        co_return instances;
    }(state_);
}

Task<> Discovery::close() {
    return [](std::shared_ptr<State> state) -> Task<> {
        co_await state->scope.close(CancelReason::shutdown);
    }(state_);
}

}  // namespace stator::discovery
