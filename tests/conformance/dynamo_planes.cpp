// The suite on Dynamo's TCP planes, plain and over TLS.
#include <array>
#include <string_view>

#include "shapes_fixture.hpp"
#include "stator/base/random.hpp"
#include "tests/support/certificates.hpp"

namespace stator::testing {
namespace {

constexpr std::size_t most = 4U << 20U;
/// Around an item: prelude and envelope; around a request: its head and its control header.
constexpr std::size_t around = 4096;

/// What the planes cannot express, each with the reason.
struct Exclusion {
    std::string_view test;
    std::string_view why;
};
constexpr std::array<Exclusion, 0> exclusions{};

class DynamoPlanes : public Plane {
public:
    explicit DynamoPlanes(net::Security security = {}) : security_{std::move(security)} {}
    Task<DistributedRuntime> join(const Runtime& runtime) override {
        DistributedConfig config;
        config.discovery = DiscoveryBackend::memory;
        config.memory_name = store_;
        config.mux.max_message_size = most;
        config.max_dynamo_request = most;
        config.dynamo.max_request = most;
        config.dynamo.max_item = most;
        config.security = security_;
        config.settle = std::chrono::milliseconds{10};
        return DistributedRuntime::connect(runtime, config);
    }
    stator::Plane calls_by() const override { return stator::Plane::dynamo; }
    /// Mostly what two kernels keep for a connection on loopback: 4 and 6 MiB.
    std::size_t window() const override { return 12U << 20U; }
    std::size_t huge_item() const override { return most - around; }
    std::size_t too_large_item() const override { return most + 1024; }
    /// The words have no reasons. A kill before the worker has called home is seen as a lost
    /// caller; the deadline is the worker's own, too.
    bool tells(CancelReason reason, CancelReason seen) const override {
        const bool its_own = reason == CancelReason::deadline && seen == reason;
        return its_own || seen == CancelReason::requested || seen == CancelReason::peer_gone;
    }
    bool passes_over_the_full() const override { return true; }
    /// Its last word is an item.
    ErrorCode worker_gone() const override { return ErrorCode::unavailable; }
    std::string_view excludes(std::string_view test) const override {
        for (const auto& each : exclusions) {
            if (each.test == test) return each.why;
        }
        return {};
    }

private:
    const net::Security security_;
    const std::string store_ = std::to_string(os_random());
};

PlaneKind plain() {
    return {"Dynamo", [] { return std::make_unique<DynamoPlanes>(); }};
}

/// With a certificate at both ends.
PlaneKind tls() {
    return {"DynamoTls", [] {
                const Certificates made;
                return std::make_unique<DynamoPlanes>(net::Security::load(made.mutual()).value());
            }};
}

const std::vector<PlaneKind> planes{plain(), tls()};

INSTANTIATE_TEST_SUITE_P(Dynamo, EveryShape, cases(planes, every_shape), case_name);
INSTANTIATE_TEST_SUITE_P(Dynamo, AnswerStreams, cases(planes, answer_streams), case_name);
INSTANTIATE_TEST_SUITE_P(Dynamo, RequestStreams, cases(planes, request_streams), case_name);
INSTANTIATE_TEST_SUITE_P(Dynamo, BothWays, cases(planes, both_ways), case_name);

}  // namespace
}  // namespace stator::testing
