// The suite on the native multiplexed plane: with its normal windows, with the least ones, and with
// handlers on other loops than their connection's, and over TLS.
#include "shapes_fixture.hpp"
#include "stator/base/random.hpp"
#include "tests/support/certificates.hpp"

namespace stator::testing {
namespace {

class MuxPlane : public Plane {
public:
    explicit MuxPlane(
        settings::MuxSettings mux, Duration long_step = Duration::max(), net::Security security = {}
    )
        : mux_{mux}, long_step_{long_step}, security_{std::move(security)} {}
    Task<DistributedRuntime> join(const Runtime& runtime) override {
        DistributedConfig config;
        config.discovery = DiscoveryBackend::memory;
        config.memory_name = store_;
        config.mux = mux_;
        config.long_step = long_step_;
        config.security = security_;
        return DistributedRuntime::connect(runtime, config);
    }
    std::size_t window() const override { return mux_.most_stream_window; }
    int items_ahead() const override { return long_step_ == Duration::zero() ? 8 : 0; }
    std::size_t huge_item() const override { return mux_.max_message_size - 64; }

private:
    const settings::MuxSettings mux_;
    const Duration long_step_;
    const net::Security security_;
    const std::string store_ = std::to_string(os_random());
};

PlaneKind normal() {
    settings::MuxSettings mux;
    mux.max_message_size = 8U << 20U;
    return {"Mux", [mux] { return std::make_unique<MuxPlane>(mux); }};
}

PlaneKind narrow() {
    settings::MuxSettings mux;
    mux.stream_window = 16U << 10U;
    mux.least_stream_window = 16U << 10U;
    mux.most_stream_window = 16U << 10U;
    mux.connection_window = 256U << 10U;
    mux.memory_limit = 1U << 20U;
    mux.max_message_size = 2U << 20U;
    mux.large_message_budget = 3U << 20U;
    return {"MuxNarrow", [mux] { return std::make_unique<MuxPlane>(mux); }};
}

PlaneKind elsewhere() {
    settings::MuxSettings mux;
    mux.max_message_size = 8U << 20U;
    return {"MuxElsewhere", [mux] { return std::make_unique<MuxPlane>(mux, Duration::zero()); }};
}

/// With a certificate at both ends.
PlaneKind tls() {
    settings::MuxSettings mux;
    mux.max_message_size = 8U << 20U;
    return {"MuxTls", [mux] {
                const Certificates made;
                auto security = net::Security::load(made.mutual()).value();
                return std::make_unique<MuxPlane>(mux, Duration::max(), std::move(security));
            }};
}

const std::vector<PlaneKind> planes{normal(), narrow(), elsewhere(), tls()};

INSTANTIATE_TEST_SUITE_P(Mux, EveryShape, cases(planes, every_shape), case_name);
INSTANTIATE_TEST_SUITE_P(Mux, AnswerStreams, cases(planes, answer_streams), case_name);
INSTANTIATE_TEST_SUITE_P(Mux, RequestStreams, cases(planes, request_streams), case_name);
INSTANTIATE_TEST_SUITE_P(Mux, BothWays, cases(planes, both_ways), case_name);

}  // namespace
}  // namespace stator::testing
