// What the handles of one DistributedRuntime share.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "component/canary.hpp"
#include "component/load_book.hpp"
#include "component/placement.hpp"
#include "component/serve_call.hpp"
#include "component/stats_source.hpp"
#include "stator/component/config.hpp"
#include "stator/discovery/discovery.hpp"
#include "stator/discovery/snapshot.hpp"
#include "stator/events/event_bus.hpp"
#include "stator/nats/client.hpp"
#include "stator/nats/service.hpp"
#include "stator/runtime/runtime.hpp"
#include "stator/runtime/semaphore.hpp"
#include "stator/store/etcd_store.hpp"
#include "stator/store/key_value_store.hpp"
#include "stator/transport/call_home_server.hpp"
#include "stator/transport/dynamo_pool.hpp"
#include "stator/transport/mux_pool.hpp"
#include "stator/transport/nats_carrier.hpp"
#include "stator/transport/nats_subject.hpp"
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
    /// Null with another backend.
    const std::shared_ptr<store::EtcdStore>& etcd() const noexcept { return etcd_; }
    /// None unless a plane needs it.
    const nats::Client& nats() const noexcept { return nats_; }
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
        std::uint64_t epoch = 0;  ///< of this process
    };
    Task<Advertised> advertised();

    /// Throws Error{already_exists} when that instance of the endpoint is served here. `view` is
    /// what the process's health asks about it, `leave` how it is asked to end when everything
    /// does.
    using Leave = std::function<Task<>(Deadline)>;
    void add(
        std::shared_ptr<Served> served,
        std::shared_ptr<const observe::InstanceView> view,
        Leave leave
    );
    void remove(const Served& served);
    /// Runs it on the secondary pool until the token that is returned, or the cluster's end.
    CancellationToken start_canary(std::shared_ptr<Canary> canary);
    /// The scope of the application's metrics with these labels.
    observe::MetricScope metrics(const observe::Labels& labels);
    /// Whether another endpoint of the same instance goes on when this one ends.
    bool serves_others(const Served& served) const;
    /// Whether calls of that instance from the current loop need not leave this process.
    bool serves_here(std::string_view path, InstanceId instance) const;
    /// What all clients of an endpoint share.
    std::shared_ptr<LoadBook> load_book(const std::string& path);

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
    /// What carries this loop's requests by NATS, made by whoever comes first.
    Task<std::shared_ptr<transport::RequestCarrier>> nats_carrier();
    Task<std::shared_ptr<events::EventBus>> event_bus();
    /// Serves what comes by the subject of that record, and lets the component's service tell of
    /// it, with what the application tells if it does.
    Task<std::shared_ptr<transport::NatsSubject>> serve_subject(
        EndpointId id, InstanceId instance, std::string subject, std::shared_ptr<StatsSource> stats
    );
    /// Ends it; what had come by it until then is taken, as far as `deadline` allows.
    Task<> end_subject(
        EndpointId id, std::shared_ptr<transport::NatsSubject> subject, Deadline deadline
    );
    const net::Security& security() const noexcept { return config_.security; }
    /// Owns the tasks that pull the input streams of this loop's calls.
    TaskScope& feeds();
    /// Owns this loop's handlers of calls from inside this process: requests, as those of others.
    TaskScope& local_calls();

    Task<> tear_down(Deadline deadline) override;
    std::vector<std::string> unfinished() const override;

private:
    /// What belongs to one loop.
    struct Side {
        std::unique_ptr<transport::MuxPool> pool;
        std::unique_ptr<transport::DynamoPool> dynamo_pool;
        std::shared_ptr<transport::CallHomeServer> call_home;
        std::shared_ptr<transport::NatsCarrier> nats;
        std::optional<discovery::Snapshot<ServedTable>::Reader> served;
        std::unique_ptr<TaskScope> feeds;
        std::unique_ptr<TaskScope> local_calls;
    };

    Task<std::shared_ptr<store::KeyValueStore>> open_store();
    Task<> join_cluster();
    Task<> leave_when_asked();
    Task<> end_with_lease();
    Task<> leave_all(Deadline deadline);
    Task<> keep_fixed(std::vector<discovery::Instance> instances);
    Task<bool> probe(std::shared_ptr<const discovery::Instance> instance);
    void collect(observe::Samples& samples) const;
    void collect_registrations(observe::Samples& samples) const;
    void collect_nats(observe::Samples& samples) const;
    void show_nothing();
    void serve_nothing();
    Task<> connect_nats();
    Task<std::shared_ptr<nats::Service>> service_of(EndpointId id);
    Task<> close_nats(Deadline deadline);
    Task<std::shared_ptr<events::EventBus>> open_event_bus();
    Task<> close_event_bus(Deadline deadline);
    Task<> close_what_is_open(Deadline deadline);  // of events, with event_bus_start_
    Task<> close_pool();
    Task<> close_call_home();
    Task<> close_server(Deadline deadline);
    Loop& first_loop() const noexcept;

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
    std::shared_ptr<store::EtcdStore> etcd_;  // the same, if it is one
    nats::Client nats_;
    Semaphore service_change_{1};
    std::map<std::string, std::shared_ptr<nats::Service>> services_;  // by component
    Semaphore event_bus_start_{1};
    Event events_over_;
    std::shared_ptr<events::EventBus> event_bus_;  // under event_bus_start_; null: nobody has asked
    nats::Client event_nats_;                      // of it alone, if requests do not use NATS
    std::string local_host_ = "127.0.0.1";         // what is bound unless the settings say it
    store::Lease lease_;
    std::unique_ptr<discovery::Discovery> discovery_;
    Semaphore server_start_{1};
    Semaphore call_home_start_{1};
    std::shared_ptr<transport::CallHomeServer> call_home_;  // under call_home_start_
    std::unique_ptr<transport::RequestServer> server_;
    struct Shown {
        observe::Health::Entry entry;
        std::weak_ptr<const observe::InstanceView> view;
    };
    mutable std::mutex served_change_;
    discovery::Snapshot<ServedTable> served_{std::make_shared<ServedTable>()};
    std::map<const Served*, Shown> shown_;   // under served_change_
    std::map<const Served*, Leave> leaves_;  // under served_change_
    /// No longer served, with requests that did not end in time. Under served_change_.
    std::vector<std::weak_ptr<Served>> left_behind_;
    std::mutex scopes_change_;
    std::map<observe::Labels, observe::MetricScope> scopes_;
    PerLoop<Side> sides_;
    Placement placement_;
    std::mutex load_books_lock_;
    std::unordered_map<std::string, std::weak_ptr<LoadBook>> load_books_;
    std::atomic<bool> torn_down_{false};
    std::atomic<bool> serving_{false};  // `server_` is there
    observe::Collector collector_;
    TaskScope canaries_;
    TaskScope departure_;
};

}  // namespace stator::inline component
