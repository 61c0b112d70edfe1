#include "component/departures.hpp"

#include "stator/runtime/loop.hpp"

namespace stator::inline component {

Departures::Waiting::Waiting(
    Departures& departures, transport::DynamoCall& call, InstanceId instance
)
    : call_{call}, instance_{instance} {
    departures.waiting_.push_back(*this);
}

Departures::Waiting::~Waiting() {
    if (linked()) runtime::detail::IntrusiveList<Waiting, WaitingTag>::remove(*this);
}

std::shared_ptr<Departures> Departures::start(
    std::shared_ptr<discovery::EndpointWatch> watch, TaskScope& scope
) {
    const std::shared_ptr<Departures> self{new Departures{scope.token().child_token()}};
    scope.spawn_on(*Loop::current(), follow(self, std::move(watch)), self->token_);
    return self;
}

Task<> Departures::follow(
    std::shared_ptr<Departures> self, std::shared_ptr<discovery::EndpointWatch> watch
) {
    auto set = watch->instances();
    for (;;) {
        self->tell(*set);
        const auto next = co_await as_result(watch->wait_for_change(set->version));
        if (!next) co_return;  // stopped, or discovery is closed
        set = *next;
    }
}

void Departures::tell(const discovery::InstanceSet& set) {
    waiting_.for_each([&set](Waiting& waiting) {
        if (set.find(waiting.instance_) != nullptr) return;
        runtime::detail::IntrusiveList<Waiting, WaitingTag>::remove(waiting);
        waiting.call_.instance_gone();
    });
}

}  // namespace stator::inline component
