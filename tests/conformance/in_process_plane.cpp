// The suite on calls that stay in their process: worker and caller are one member of the cluster.
#include <optional>

#include "shapes_fixture.hpp"
#include "stator/base/random.hpp"

namespace stator::testing {
namespace {

class InProcessPlane : public Plane {
public:
    explicit InProcessPlane(Duration long_step) : long_step_{long_step} {}
    Task<DistributedRuntime> join(const Runtime& runtime) override {
        if (!joined_) {
            DistributedConfig config;
            config.discovery = DiscoveryBackend::memory;
            config.memory_name = std::to_string(os_random());
            config.mux.max_message_size = 8U << 20U;
            config.long_step = long_step_;
            joined_ = co_await DistributedRuntime::connect(runtime, config);
        }
        co_return *joined_;
    }
    std::size_t window() const override { return settings::MuxSettings{}.most_stream_window; }
    int items_ahead() const override { return long_step_ == Duration::zero() ? 8 : 0; }
    bool one_member() const override { return true; }
    stator::Plane calls_by() const override { return stator::Plane::in_process; }
    /// What ends the caller ends the worker: its own root token is first.
    bool tells(CancelReason reason, CancelReason seen) const override {
        return seen == (reason == CancelReason::peer_gone ? CancelReason::parent : reason);
    }
    ErrorCode worker_gone() const override { return ErrorCode::unavailable; }
    std::size_t huge_item() const override { return (8U << 20U) - 64; }

private:
    const Duration long_step_;
    std::optional<DistributedRuntime> joined_;
};

const std::vector<PlaneKind> planes{
    {"InProcess", [] { return std::make_unique<InProcessPlane>(Duration::max()); }},
    {"InProcessElsewhere", [] { return std::make_unique<InProcessPlane>(Duration::zero()); }},
};

INSTANTIATE_TEST_SUITE_P(InProcess, EveryShape, cases(planes, every_shape), case_name);
INSTANTIATE_TEST_SUITE_P(InProcess, AnswerStreams, cases(planes, answer_streams), case_name);
INSTANTIATE_TEST_SUITE_P(InProcess, RequestStreams, cases(planes, request_streams), case_name);
INSTANTIATE_TEST_SUITE_P(InProcess, BothWays, cases(planes, both_ways), case_name);

}  // namespace
}  // namespace stator::testing
