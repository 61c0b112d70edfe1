#include "stator/discovery/discovery.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include <fmt/format.h>

#include "discovery/endpoint_watch_core.hpp"
#include "discovery/lag_metric.hpp"
#include "discovery/registration_shared.hpp"
#include "stator/discovery/drained.hpp"
#include "stator/runtime/combinators.hpp"

namespace stator::discovery {

namespace {

std::string all_instances() { return fmt::format("{}/", instances_bucket); }

Error closed_error() {
    return Error{ErrorCode::unavailable, "discovery.closed", "discovery is closed"};
}

/// Whether the endpoint's full name is `prefix` or goes on after it with a dot.
bool is_below(const EndpointId& endpoint, std::string_view prefix) {
    if (prefix.empty()) return true;
    const auto name = endpoint.to_string();
    return name.starts_with(prefix) && (name.size() == prefix.size() || name[prefix.size()] == '.');
}

}  // namespace

/// Kept by the Discovery, and by calls that are under way.
struct Discovery::State {
    State(std::shared_ptr<store::KeyValueStore> store_, Options options_)
        : store{std::move(store_)}, options{std::move(options_)} {}

    std::vector<std::shared_ptr<EndpointWatch::Core>> living_cores();

    const std::shared_ptr<store::KeyValueStore> store;
    const Options options;
    const std::shared_ptr<RejectLog> rejects = std::make_shared<RejectLog>();
    struct Shared {
        std::weak_ptr<EndpointWatch> watch;
        std::weak_ptr<EndpointWatch::Core> core;
    };
    std::mutex lock;
    std::map<EndpointId, Shared> watches;
    /// By the instance's key: what this process has published, whoever still has its handle. Those
    /// that are gone are swept when there are twice as many as after the last time.
    std::map<std::string, std::shared_ptr<Registration::Shared>> registrations;
    std::size_t sweep_at = 16;
    bool closed = false;
    TaskScope scope;
};

std::vector<std::shared_ptr<EndpointWatch::Core>> Discovery::State::living_cores() {
    std::vector<std::shared_ptr<EndpointWatch::Core>> cores;
    const std::lock_guard guard{lock};
    for (const auto& [endpoint, shared] : watches) {
        if (auto core = shared.core.lock()) cores.push_back(std::move(core));
    }
    return cores;
}

Discovery::Discovery(std::shared_ptr<store::KeyValueStore> store, Options options)
    : state_{std::make_shared<State>(std::move(store), std::move(options))} {
    (void)lag_metric();  // shown from the start
}

Discovery::~Discovery() = default;

const std::shared_ptr<store::KeyValueStore>& Discovery::store() const noexcept {
    return state_->store;
}

namespace {

Result<std::vector<Record>> records_of(
    const Instance& instance, const std::vector<ModelRecord>& models
) {
    if (auto checked = instance.check(); !checked) return std::unexpected<Error>{checked.error()};
    std::vector<Record> records;
    for (const auto& model : models) {
        if (model.endpoint != instance.endpoint || model.id != instance.id)
            return fail(
                ErrorCode::invalid_request,
                "registration.identity",
                "a model is published by the instance that serves it"
            );
        auto text = to_record(model);
        if (!text) return std::unexpected<Error>{text.error()};
        records.emplace_back(model.key(), std::move(*text));
    }
    auto text = to_record(instance);
    if (!text) return std::unexpected<Error>{text.error()};
    records.emplace_back(instance.key(), std::move(*text));
    return records;
}

}  // namespace

Registration Discovery::prepare(
    Instance instance, std::vector<ModelRecord> models, store::Lease lease, std::string instead_of
) {
    auto records = records_of(instance, models);
    if (!records) throw records.error();
    auto shared = std::make_shared<Registration::Shared>(
        state_->store,
        std::move(lease),
        std::move(instance),
        std::move(*records),
        std::move(instead_of)
    );
    const std::lock_guard guard{state_->lock};
    auto& registrations = state_->registrations;
    if (registrations.size() >= state_->sweep_at) {
        std::erase_if(registrations, [](const auto& item) {
            return item.second->state() == RegistrationState::gone;
        });
        state_->sweep_at = std::max<std::size_t>(2 * registrations.size(), 16);
    }
    auto& known = registrations[shared->key];
    // The store would take the second for the first one's: both are this process's.
    if (known && known->state() != RegistrationState::gone)
        throw Error{
            ErrorCode::already_exists,
            "registration.exists",
            fmt::format("{} is published already", shared->key)
        };
    known = shared;
    return Registration{std::move(shared)};
}

Task<Registration> Discovery::publish(
    Instance instance, std::vector<ModelRecord> models, store::Lease lease, std::string instead_of
) {
    auto registration =
        prepare(std::move(instance), std::move(models), std::move(lease), std::move(instead_of));
    co_await registration.publish();
    co_return registration;
}

/// The watch that everyone in this process shares, made if there is none.
std::shared_ptr<EndpointWatch> Discovery::shared_watch(const EndpointId& endpoint) {
    const std::lock_guard guard{state_->lock};
    if (state_->closed) throw closed_error();
    auto& shared = state_->watches[endpoint];
    auto watch = shared.watch.lock();
    const auto core = shared.core.lock();
    if (watch && core && !core->failed()) return watch;
    std::erase_if(state_->watches, [&](const auto& item) {
        return item.first != endpoint && item.second.core.expired();
    });
    auto fresh = std::make_shared<EndpointWatch::Core>(
        endpoint,
        EndpointWatch::Core::Parts{state_->store, state_->options, state_->rejects, &state_->scope}
    );
    watch = std::make_shared<EndpointWatch>(fresh);
    shared = {watch, fresh};
    fresh->start();
    return watch;
}

Task<std::shared_ptr<EndpointWatch>> Discovery::watch(EndpointId endpoint) {
    auto watch = shared_watch(endpoint);
    co_await watch->core_->started();
    co_return watch;
}

void Discovery::report(std::string_view address, LinkEvent event) {
    for (const auto& core : state_->living_cores()) core->report_address(address, event);
}

void Discovery::report(InstanceId instance, LinkEvent event) {
    for (const auto& core : state_->living_cores()) core->report(instance, event);
}

Task<std::vector<Instance>> Discovery::list_all() {
    const auto state = state_;
    std::vector<Instance> instances;
    for (const auto& entry : co_await state->store->list(all_instances())) {
        if (auto instance = from_record(entry.key, entry.value)) {
            instances.push_back(std::move(*instance));
        } else {
            state->rejects->report(entry.key, entry.value, instance.error());
        }
    }
    co_return instances;
}

Task<std::vector<Instance>> Discovery::list_drained() {
    const auto state = state_;
    std::vector<Instance> instances;
    for (const auto& entry : co_await state->store->list(std::string{drained_prefix})) {
        if (auto instance = from_drained_record(entry.key, entry.value)) {
            instances.push_back(std::move(*instance));
        } else {
            state->rejects->report(entry.key, entry.value, instance.error());
        }
    }
    co_return instances;
}

Task<std::vector<ModelRecord>> Discovery::models_below(
    std::shared_ptr<State> state, std::string prefix
) {
    std::vector<ModelRecord> models;
    for (const auto& entry : co_await state->store->list(std::move(prefix))) {
        if (auto model = model_from_record(entry.value)) {
            models.push_back(std::move(*model));
        } else {
            state->rejects->report(entry.key, entry.value, model.error());
        }
    }
    co_return models;
}

Task<std::vector<ModelRecord>> Discovery::list_models() {
    return models_below(state_, fmt::format("{}/", models_bucket));
}

Task<std::vector<ModelRecord>> Discovery::list_models(EndpointId endpoint) {
    return models_below(state_, models_prefix(endpoint));
}

namespace {

using Known = std::map<std::string, std::shared_ptr<const Instance>, std::less<>>;

/// Turns what the store tells into changes of the instances below a prefix. Pure.
class ChangeTracker {
public:
    ChangeTracker(std::string prefix, std::shared_ptr<RejectLog> rejects)
        : prefix_{std::move(prefix)}, rejects_{std::move(rejects)} {}

    std::vector<DiscoveryEvent> take(const store::WatchEvent& event) {
        using Kind = store::WatchEvent::Kind;
        std::vector<DiscoveryEvent> changes;
        if (event.kind == Kind::removed) {
            drop(event.entry.key, changes);
        } else if (event.kind == Kind::put) {
            keep(event.entry, changes);
        } else {
            take_snapshot(event.entries, changes);
        }
        return changes;
    }

private:
    void take_snapshot(
        const std::vector<store::Entry>& entries, std::vector<DiscoveryEvent>& changes
    ) {
        Known before = known_;
        for (const auto& entry : entries) {
            before.erase(entry.key);
            keep(entry, changes);
        }
        for (const auto& [key, instance] : before) drop(key, changes);
        changes.push_back(
            {.kind = DiscoveryEvent::Kind::synced, .instance = nullptr, .count = known_.size()}
        );
    }

    void keep(const store::Entry& entry, std::vector<DiscoveryEvent>& changes) {
        auto instance = from_record(entry.key, entry.value);
        if (!instance) {
            rejects_->report(entry.key, entry.value, instance.error());
            return drop(entry.key, changes);
        }
        if (!is_below(instance->endpoint, prefix_)) return;
        auto& known = known_[entry.key];
        if (known && *known == *instance) return;
        const auto kind = known ? DiscoveryEvent::Kind::changed : DiscoveryEvent::Kind::added;
        known = std::make_shared<const Instance>(std::move(*instance));
        changes.push_back({.kind = kind, .instance = known, .count = 0});
    }

    void drop(std::string_view key, std::vector<DiscoveryEvent>& changes) {
        const auto known = known_.find(key);
        if (known == known_.end()) return;
        changes.push_back(
            {.kind = DiscoveryEvent::Kind::removed, .instance = std::move(known->second), .count = 0
            }
        );
        known_.erase(known);
    }

    const std::string prefix_;
    const std::shared_ptr<RejectLog> rejects_;
    Known known_;
};

Stream<DiscoveryEvent> changes_below(
    std::shared_ptr<store::KeyValueStore> store,
    std::string prefix,
    std::shared_ptr<RejectLog> rejects
) {
    ChangeTracker tracker{std::move(prefix), std::move(rejects)};
    auto watch = co_await store->watch(all_instances());
    while (const auto event = co_await watch.next()) {
        for (auto& change : tracker.take(*event)) co_yield std::move(change);
    }
}

}  // namespace

Stream<DiscoveryEvent> Discovery::watch_all(std::string prefix) {
    return changes_below(state_->store, std::move(prefix), state_->rejects);
}

Task<> Discovery::close() {
    const auto state = state_;
    {
        const std::lock_guard guard{state->lock};
        state->closed = true;
    }
    for (const auto& core : state->living_cores()) core->close();
    co_await state->scope.close(CancelReason::shutdown);
}

}  // namespace stator::discovery
