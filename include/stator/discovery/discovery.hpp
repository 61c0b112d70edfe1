// Discovery: publishing and finding instances through a store.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "stator/discovery/discovery_event.hpp"
#include "stator/discovery/endpoint_watch.hpp"
#include "stator/discovery/instance.hpp"
#include "stator/discovery/member_table.hpp"
#include "stator/discovery/model_record.hpp"
#include "stator/discovery/registration.hpp"
#include "stator/runtime/stream.hpp"
#include "stator/store/key_value_store.hpp"

namespace stator::discovery {

/// One per process and store. Thread-safe; its tasks run on the store's loop. Whoever made it ends
/// it with `close`, before the store's.
class Discovery {
public:
    struct Options {
        RoutingPolicy routing;
        /// With one, instances in quarantine come back by a successful probe and cost no request.
        Prober prober;
        Duration probe_timeout = std::chrono::seconds{2};
    };
    Discovery(std::shared_ptr<store::KeyValueStore> store, Options options);
    explicit Discovery(std::shared_ptr<store::KeyValueStore> store)
        : Discovery{std::move(store), Options{}} {}
    Discovery(const Discovery&) = delete;
    Discovery& operator=(const Discovery&) = delete;
    ~Discovery();

    const std::shared_ptr<store::KeyValueStore>& store() const noexcept;

    /// Publishes the record under `lease`; call it when the instance can be reached. Returns once
    /// the store has it. Errors: `Instance::check`'s, already_exists (this id is published),
    /// the store's. Cancel safety: throws `cancelled`; the record may be there until the lease
    /// ends.
    Task<Registration> publish(Instance instance, store::Lease lease) {
        return publish(std::move(instance), {}, std::move(lease));
    }
    /// The same for an instance that serves models: their records come before the instance's own
    /// and go after it, under the same lease. If one of the records cannot be published, those
    /// before it are taken back. Errors as well: invalid_request "registration.identity" for a
    /// model of another endpoint or id, to_record's. A key in `instead_of` goes as the instance's
    /// own record comes (KeyValueStore::replace).
    Task<Registration> publish(
        Instance instance,
        std::vector<ModelRecord> models,
        store::Lease lease,
        std::string instead_of = {}
    );

    /// The first half of `publish`: `Registration::publish` is the other. Throws what has nothing
    /// to do with the store, and already_exists for what this process has published or prepared.
    Registration prepare(
        Instance instance,
        std::vector<ModelRecord> models,
        store::Lease lease,
        std::string instead_of = {}
    );

    /// The shared watch of the endpoint; its first snapshot has been read. Errors: the store's.
    Task<std::shared_ptr<EndpointWatch>> watch(EndpointId endpoint);

    /// What a transport has learnt about everything served at "host:port"; reaches every watch.
    void report(std::string_view address, LinkEvent event);
    /// The same about one instance, at every endpoint that it serves.
    void report(InstanceId instance, LinkEvent event);

    /// All instances, sorted by key; expired records are swept, unreadable ones reported once.
    Task<std::vector<Instance>> list_all();
    /// Those that an operator has taken off line (drained.hpp), which no client sees.
    Task<std::vector<Instance>> list_drained();
    /// All models, sorted by key, or those of one endpoint; otherwise as `list_all`.
    Task<std::vector<ModelRecord>> list_models();
    Task<std::vector<ModelRecord>> list_models(EndpointId endpoint);
    /// Changes as they happen. `prefix` is the beginning of "ns.component.endpoint" at a dot, or
    /// empty. First every instance as `added`, then `synced`; a gap is closed by the differences
    /// and another `synced`. Ends when the store is closed.
    Stream<DiscoveryEvent> watch_all(std::string prefix);

    /// Ends the watches: their waiters get Error{unavailable}. Never throws; idempotent.
    Task<> close();

private:
    struct State;
    static Task<std::vector<ModelRecord>> models_below(
        std::shared_ptr<State> state, std::string prefix
    );
    std::shared_ptr<EndpointWatch> shared_watch(const EndpointId& endpoint);
    std::shared_ptr<State> state_;
};

}  // namespace stator::discovery
