// What the handles of one DistributedRuntime share.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "component/placement.hpp"
#include "component/serve_call.hpp"
#include "stator/component/config.hpp"
#include "stator/discovery/discovery.hpp"
#include "stator/discovery/snapshot.hpp"
#include "stator/runtime/runtime.hpp"
#include "stator/runtime/semaphore.hpp"
#include "stator/store/key_value_store.hpp"
#include "stator/transport/call_home_server.hpp"
#include "stator/transport/dynamo_pool.hpp"
#include "stator/transport/mux_pool.hpp"
#include "stator/transport/request_server.hpp"

namespace stator::inline component {

/// Thread-safe. Owned by the handles; the runtime knows it as a participant of its shutdown.
class ClusterState : public std::enable_shared_from_this<ClusterState>,
                     public ShutdownParticipant,
                     public transport::CallDispatcher,
                     public transport::PeerObserver {
public:
    ClusterState(const Runtime& runtime, DistributedConfig config);
    ~ClusterState() override;

    /// Opens the store, takes a lease, starts discovery. A step that fails undoes those before it.
    Task<> connect();

    const Runtime& runtime() const noexcept { return runtime_; }
    const DistributedConfig& config() const noexcept { return config_; }
    InstanceId instance_id() const noexcept { return instance_id_; }
    discovery::Discovery& discovery() const noexcept { return *discovery_; }
    const store::Lease& lease() const noexcept { return lease_; }
    std::size_t loops() const noexcept { return sides_.size(); }

    /// The server, started by whoever comes first; a start that failed may be tried again.
    Task<transport::RequestServer*> server();
    transport::RequestServer* running_server() noexcept { return server_.get(); }
    /// "host:port" under which others reach the server: by the mux, and numeric for the Dynamo
    /// record.
    struct Advertised {
        std::string mux;
        std::string numeric;
        bool tls = false;
    };
    Task<Advertised> advertised();

    /// Throws Error{already_exists} when that instance of the endpoint is served here.
    void add(std::shared_ptr<Served> served);
    void remove(const Served& served);
    /// Whether another endpoint of the same instance goes on when this one ends.
    bool serves_others(const Served& served) const;

    /// This loop's connections, by plane.
    transport::MuxPool& pool();
    transport::DynamoPool& dynamo_pool();
    /// Where workers of the Dynamo plane call home, started by whoever comes first; a start that
    /// failed may be tried again.
    Task<std::shared_ptr<transport::CallHomeServer>> call_home();
    /// The same, if it has been asked for on this loop before; null otherwise.
    const std::shared_ptr<transport::CallHomeServer>& known_call_home() {
        return sides_.current().call_home;
    }
    const net::Security& security() const noexcept { return config_.security; }
    /// Owns the tasks that pull the input streams of this loop's calls.
    TaskScope& feeds();

    Task<> tear_down(Deadline deadline) override;
    std::vector<std::string> unfinished() const override;

private:
    /// What belongs to one loop.
    struct Side {
        std::unique_ptr<transport::MuxPool> pool;
        std::unique_ptr<transport::DynamoPool> dynamo_pool;
        std::shared_ptr<transport::CallHomeServer> call_home;
        std::optional<discovery::Snapshot<ServedTable>::Reader> served;
        std::unique_ptr<TaskScope> feeds;
    };

    Task<std::shared_ptr<store::KeyValueStore>> open_store();
    Task<bool> probe(std::shared_ptr<const discovery::Instance> instance);
    Task<> close_pool();
    Task<> close_call_home();
    Task<> close_server(Deadline deadline);
    Loop& loop_at(std::size_t index) const noexcept;

    /// On the call's loop, or on one with less to do.
    transport::Serving start(AdmittedCall&& admitted);
    Result<transport::Serving> dispatch(
        std::unique_ptr<transport::ServerCall>& call, const transport::CallHead& head
    ) override;
    void on_peer_lost(const std::string& address, const Error& cause) noexcept override;
    void on_peer_unreachable(const std::string& address, const Error& cause) noexcept override;
    void on_peer_connected(const std::string& address) noexcept override;
    void on_peer_suspect(const std::string& address) noexcept override;
    void on_peer_healthy(const std::string& address) noexcept override;
    void on_peer_draining(const std::string& address, InstanceId instance) noexcept override;

    Runtime runtime_;
    const DistributedConfig config_;
    const transport::MuxConfig mux_;  // of all our connections, which share its budget
    InstanceId instance_id_;
    std::shared_ptr<store::KeyValueStore> store_;
    store::Lease lease_;
    std::unique_ptr<discovery::Discovery> discovery_;
    Semaphore server_start_{1};
    Semaphore call_home_start_{1};
    std::shared_ptr<transport::CallHomeServer> call_home_;  // under call_home_start_
    std::unique_ptr<transport::RequestServer> server_;
    std::mutex served_change_;
    discovery::Snapshot<ServedTable> served_{std::make_shared<ServedTable>()};
    PerLoop<Side> sides_;
    Placement placement_;
    std::atomic<bool> torn_down_{false};
};

}  // namespace stator::inline component
