// NatsAcks: acknowledgements that leave together.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "stator/nats/client.hpp"

namespace stator::transport {

/// Gathers what is said to callers of requests that were taken in one go: requests of one inbox
/// whose owner reads that are acknowledged by one message. One owner.
class NatsAcks {
public:
    explicit NatsAcks(nats::Client client) : client_{std::move(client)} {}

    /// `reply` is the subject that the request named. Empty: nobody waits for it.
    void accepted(const std::string& reply, bool reads_many);
    /// At once. `why` is what the caller reads, if it does.
    void refused(const std::string& reply, std::string_view why);
    void send();

private:
    struct Waiting {
        std::string reply;
        std::size_t inbox;   // the length of its part without the request's number
        std::string others;  // numbers, with commas between them
    };

    const nats::Client client_;
    std::vector<Waiting> waiting_;
};

}  // namespace stator::transport
