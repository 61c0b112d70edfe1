// Service: tells who asks NATS which services there are what this process serves.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "stator/nats/client.hpp"
#include "stator/runtime/task_scope.hpp"

namespace stator::nats {

/// What STATS says of an endpoint.
struct ServiceCounts {
    std::uint64_t requests = 0;
    std::uint64_t errors = 0;
    std::uint64_t processing_ns = 0;
    std::string last_error{};
};

struct ServiceEndpoint {
    std::string subject{};
    std::string queue_group{};
    std::function<ServiceCounts()> counts{};  ///< called on the client's loop
    /// JSON of the endpoint's own, empty: none; awaited on the client's loop each time that
    /// somebody asks. Must end soon, and must not throw but when it is cancelled.
    std::function<Task<std::string>()> data{};
};

/// A micro-service of NATS (`$SRV.PING`, `$SRV.INFO`, `$SRV.STATS`, each also with its name, and
/// with name and id), as the original registers one for each component; it answers for all
/// endpoints of the component in this process. Serves no requests itself. Whoever asks for STATS
/// while an answer is made waits for the next one, which is for all who have asked by then; other
/// questions wait for nobody.
///
/// Thread-safe. Answers on the client's loop, until `close`, before which it must not be dropped.
class Service : public std::enable_shared_from_this<Service> {
public:
    struct Options {
        std::string name{};  ///< letters, digits, '-' and '_'
        std::string version{};
        std::string description{};
    };
    /// Errors and cancel safety: as of Client::subscribe.
    static Task<std::shared_ptr<Service>> start(Client client, Options options);
    Service(const Service&) = delete;
    Service& operator=(const Service&) = delete;
    ~Service();

    void add(ServiceEndpoint endpoint);
    void remove(const std::string& subject);
    std::size_t endpoints() const;
    const std::string& id() const noexcept { return id_; }

    Task<> close();

private:
    Service(Client client, Options options);
    SubscribeOptions questions(std::initializer_list<std::string_view> verbs) const;
    Task<> tell_what_it_is();
    Task<> tell_how_it_does();
    void answer(std::string reply, const std::string& text) const;
    std::string ping() const;
    std::string info() const;
    Task<std::string> stats() const;

    const Client client_;
    const Options options_;
    const std::string id_;
    const std::string started_;
    Subscription of_itself_;
    Subscription of_stats_;
    mutable std::mutex lock_;
    std::vector<ServiceEndpoint> endpoints_;
    TaskScope scope_;
};

/// The name of a component's service: as the original's.
std::string service_name(std::string_view ns, std::string_view component);

}  // namespace stator::nats
