// NatsSubject: the subject by which one endpoint's requests come.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "stator/base/deadline.hpp"
#include "stator/nats/client.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/loop.hpp"

namespace stator::transport {

class DynamoPlane;
class NatsAcks;

/// What came by a subject.
struct SubjectCounts {
    std::uint64_t requests = 0;
    std::uint64_t refused = 0;
    std::uint64_t busy_ns = 0;  ///< for which they held their loop until they were taken
    std::string last_refusal{};
};

/// Requests are taken, and acknowledged, on one loop of the server; its handlers may run on others.
/// Made by RequestServer::serve_subject. Thread-safe. Ends by `close`, or with the server.
class NatsSubject {
public:
    NatsSubject(nats::Client client, std::string subject, std::string path);
    NatsSubject(const NatsSubject&) = delete;
    NatsSubject& operator=(const NatsSubject&) = delete;

    const std::string& subject() const noexcept { return subject_; }
    SubjectCounts counts() const;

    /// Takes no more: callers are told at once that nobody is there. Waits until what had come is
    /// taken, or `deadline`. Never throws but `cancelled`.
    Task<> close(Deadline deadline);

private:
    friend class RequestServer;
    /// On the plane's loop, until `close` or its task is cancelled.
    static Task<> run(std::shared_ptr<NatsSubject> self, DynamoPlane* plane);
    void take(DynamoPlane& plane, const nats::Message& message, NatsAcks& acks);
    Task<> ended();

    const nats::Client client_;
    const std::string subject_;
    const std::string path_;  // "{instance}/{namespace}/{component}/{endpoint}"
    nats::Subscription requests_;
    mutable std::mutex lock_;
    SubjectCounts counts_;
    Event ended_;
};

}  // namespace stator::transport
