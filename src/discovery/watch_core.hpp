// The shared half of EndpointWatch: follows the store and keeps the instance set.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "discovery/record_reader.hpp"
#include "stator/discovery/endpoint_watch.hpp"
#include "stator/discovery/member_table.hpp"
#include "stator/runtime/signal.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/store/key_value_store.hpp"

namespace stator::discovery {

/// Shared by the EndpointWatch that users hold and the task that runs it, on the store's loop.
/// `report` comes from any thread and takes effect before it returns: the table is behind a lock,
/// the set is swapped atomically.
class EndpointWatch::Core : public std::enable_shared_from_this<EndpointWatch::Core> {
public:
    struct Options {
        RoutingPolicy routing;
        Prober prober;
        Duration probe_timeout;
    };
    Core(
        EndpointId endpoint,
        std::shared_ptr<store::KeyValueStore> store,
        std::shared_ptr<RecordReader> reader,
        const Options& options,
        const CancellationToken& parent
    );

    /// Runs until `stop`; on the store's loop.
    Task<> run();
    void stop() noexcept { token_.cancel(); }
    /// Completes when the first snapshot has been read; throws what prevented it.
    Task<> wait_until_read();

    const EndpointId& endpoint() const noexcept { return endpoint_; }
    const Snapshot<InstanceSet>& instances() const noexcept { return set_; }
    Task<std::shared_ptr<const InstanceSet>> wait_for_change(std::uint64_t seen);
    void report(InstanceId id, LinkEvent event);
    void report(std::string_view address, LinkEvent event);

private:
    Task<> follow();
    Task<> follow_once();
    Task<> keep_time();
    Task<> probe(std::shared_ptr<const Instance> instance);
    void take(store::WatchEvent event);
    /// With the lock held: shows what has changed.
    void show();
    void poke() noexcept;

    const EndpointId endpoint_;
    const std::shared_ptr<store::KeyValueStore> store_;
    const std::shared_ptr<RecordReader> reader_;
    const Prober prober_;
    const Duration probe_timeout_;
    const CancellationToken token_;
    std::mutex lock_;
    MemberTable table_;  // guarded by lock_
    Snapshot<InstanceSet> set_;
    Event read_;                    // the first snapshot is there, or it failed
    std::optional<Error> failure_;  // written before read_ is set
    std::atomic<bool> over_{false};
    VersionGate changed_;  // the timer has to look again
};

}  // namespace stator::discovery
