// The moving parts of an EndpointWatch.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>

#include "discovery/reject_log.hpp"
#include "stator/discovery/discovery.hpp"

namespace stator::discovery {

/// Kept by the EndpointWatch and by its tasks on the store's loop; ends when its token fires. The
/// table is guarded by a mutex, so that what any loop reports is in force at once.
class EndpointWatch::Core : public std::enable_shared_from_this<EndpointWatch::Core> {
public:
    struct Parts {
        std::shared_ptr<store::KeyValueStore> store;
        Discovery::Options options;
        std::shared_ptr<RejectLog> rejects;
        TaskScope* scope;  // outlives the tasks of this, which are its
    };
    Core(EndpointId endpoint, Parts parts);

    /// Starts the tasks.
    void start();
    /// Once the first snapshot has been read; throws what prevented that.
    Task<> started();
    bool failed() const noexcept { return has_failed_.load(std::memory_order_acquire); }
    /// Ends the tasks; never waits.
    void stop() noexcept { token.cancel(); }
    /// The same, and those who wait get an error.
    void close();

    void report(InstanceId id, LinkEvent event);
    void report_address(std::string_view address, LinkEvent event);
    Task<std::shared_ptr<const InstanceSet>> wait_for_change(std::uint64_t seen);

    const EndpointId endpoint;
    const CancellationToken token = CancellationToken::make();
    Snapshot<InstanceSet> set{std::make_shared<InstanceSet>()};

private:
    Task<> follow();
    Task<> follow_once(bool* begun);
    Task<> tend();
    static Task<> probe(std::shared_ptr<Core> core, std::shared_ptr<const Instance> instance);
    void apply(store::WatchEvent event);
    std::optional<MemberTable::Record> decode(store::Entry entry);
    TimePoint now() const noexcept { return parts_.store->loop().now(); }
    void publish();
    void publish_locked();
    void fail(const Error& error);
    void throw_if_failed() const;

    const Parts parts_;
    mutable std::mutex lock_;
    MemberTable table_;
    TimePoint planned_ = TimePoint::max();  // when `tend` wakes by itself
    CancellationToken sooner_ = CancellationToken::make();
    std::optional<Error> failed_;
    std::atomic<bool> has_failed_{false};
};

}  // namespace stator::discovery
