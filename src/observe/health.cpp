#include "stator/observe/health.hpp"

#include <algorithm>
#include <list>
#include <utility>

#include <fmt/format.h>

namespace stator::observe {

std::string_view to_string(InstanceState state) noexcept {
    switch (state) {
        case InstanceState::starting:
            return "starting";
        case InstanceState::ready:
            return "ready";
        case InstanceState::recovering:
            return "recovering";
        case InstanceState::draining:
            return "draining";
        case InstanceState::unhealthy:
            return "unhealthy";
    }
    return "unknown";
}

std::string_view InstanceHealth::endpoint_name() const noexcept {
    const std::string_view all = endpoint;
    const auto dot = all.rfind('.');
    return dot == all.npos ? all : all.substr(dot + 1);
}

namespace {

bool decides(const HealthPolicy& policy, const InstanceHealth& instance) {
    return policy.deciding.empty() || std::ranges::any_of(policy.deciding, [&](const auto& name) {
               return name == instance.endpoint || name == instance.endpoint_name();
           });
}

std::string sentence_about(const InstanceHealth& instance) {
    return fmt::format(
        "{} {} is {}{}{}",
        instance.endpoint,
        instance.instance,
        to_string(instance.state),
        instance.reason.empty() ? "" : ": ",
        instance.reason
    );
}

bool is_among(const std::string& name, const std::vector<InstanceHealth>& instances) {
    return std::ranges::any_of(instances, [&](const auto& instance) {
        return name == instance.endpoint || name == instance.endpoint_name();
    });
}

}  // namespace

HealthReport judge(
    const HealthPolicy& policy,
    bool had_any,
    std::vector<std::string> holds,
    std::vector<InstanceHealth> instances
) {
    HealthReport report{.reasons = std::move(holds)};
    for (const auto& name : policy.deciding) {
        if (!is_among(name, instances))
            report.reasons.push_back(fmt::format("{} is not served", name));
    }
    const bool may_be_empty = policy.ready_at_start && !had_any;
    if (instances.empty() && policy.deciding.empty() && !may_be_empty)
        report.reasons.emplace_back("nothing is served");
    for (const auto& instance : instances) {
        if (!instance.ready() && decides(policy, instance))
            report.reasons.push_back(sentence_about(instance));
    }
    report.ready = report.reasons.empty();
    report.instances = std::move(instances);
    return report;
}

struct Health::State {
    mutable std::mutex mutex;
    HealthPolicy policy;
    bool had_any = false;
    std::list<std::shared_ptr<const InstanceView>> instances;
    std::list<std::string> holds;
    TimePoint begun = Clock::steady().now();

    /// Takes `place` back; what was there dies after the lock is released.
    template <class T>
    void end(std::list<T>& all, std::list<T>::iterator place) {
        std::list<T> ended;
        const std::lock_guard guard{mutex};
        ended.splice(ended.begin(), all, place);
    }
};

Health::Health() : state_{std::make_shared<State>()} {}
Health::~Health() = default;

void Health::configure(HealthPolicy policy) {
    const std::lock_guard guard{state_->mutex};
    state_->policy = std::move(policy);
}

std::vector<std::shared_ptr<const InstanceView>> Health::instances() const {
    const std::lock_guard guard{state_->mutex};
    return {state_->instances.begin(), state_->instances.end()};
}

Duration Health::uptime() const { return Clock::steady().now() - state_->begun; }

HealthReport Health::report() const {
    HealthPolicy policy;
    bool had_any = false;
    std::vector<std::string> holds;
    {
        const std::lock_guard guard{state_->mutex};
        policy = state_->policy;
        had_any = state_->had_any;
        holds.assign(state_->holds.begin(), state_->holds.end());
    }
    // Asked without the lock: what they do to answer is their business.
    std::vector<InstanceHealth> instances;
    for (const auto& instance : this->instances()) instances.push_back(instance->health());
    std::ranges::sort(instances, {}, [](const auto& one) {
        return std::pair{one.endpoint, one.instance};
    });
    return judge(policy, had_any, std::move(holds), std::move(instances));
}

Health::Entry Health::add(std::shared_ptr<const InstanceView> instance) {
    const std::lock_guard guard{state_->mutex};
    state_->had_any = true;
    const auto place = state_->instances.insert(state_->instances.end(), std::move(instance));
    return Entry{[state = state_, place] { state->end(state->instances, place); }};
}

Health::Entry Health::hold(std::string reason) {
    const std::lock_guard guard{state_->mutex};
    const auto place = state_->holds.insert(state_->holds.end(), std::move(reason));
    return Entry{[state = state_, place] { state->end(state->holds, place); }};
}

const std::shared_ptr<Health>& health() {
    static const auto& process = *new std::shared_ptr<Health>{std::make_shared<Health>()};
    return process;
}

}  // namespace stator::observe
