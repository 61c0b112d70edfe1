// The machine alone: every order of what may happen to it.
#include "discovery/registration_machine.hpp"

#include <set>

#include <gtest/gtest.h>

#include "stator/base/random.hpp"

namespace stator::discovery {
namespace {

using State = RegistrationState;
using Action = RegistrationMachine::Action;
using Answer = RegistrationMachine::Answer;
using store::LeaseState;

/// Publishes `records` without a hitch.
RegistrationMachine published(std::size_t records) {
    RegistrationMachine machine{records};
    EXPECT_TRUE(machine.publish());
    for (std::size_t i = 0; i < records; ++i) {
        EXPECT_EQ(machine.state(), State::registering);
        EXPECT_EQ(machine.take(Action::create), i);
        EXPECT_FALSE(machine.take(Action::create)) << "one at a time";
        machine.answered(Answer::done);
    }
    EXPECT_EQ(machine.state(), State::registered);
    return machine;
}

TEST(RegistrationMachine, PublishesInOrderAndTakesBackTheOtherWayRound) {
    auto machine = published(3);
    EXPECT_FALSE(machine.publish()) << "once";
    EXPECT_FALSE(machine.take(Action::remove));
    EXPECT_TRUE(machine.withdraw());
    EXPECT_FALSE(machine.withdraw());
    for (const std::size_t record : {2U, 1U, 0U}) {
        EXPECT_EQ(machine.state(), State::draining);
        EXPECT_EQ(machine.take(Action::remove), record);
        machine.answered(Answer::failed);
        EXPECT_EQ(machine.take(Action::remove), record) << "once more";
        machine.answered(Answer::done);
    }
    EXPECT_EQ(machine.state(), State::gone);
    EXPECT_TRUE(machine.confirmed());
}

TEST(RegistrationMachine, AStepThatFailsTakesBackWhatMayBeThere) {
    for (const auto answer : {Answer::failed, Answer::taken}) {
        for (std::size_t step = 0; step < 3; ++step) {
            RegistrationMachine machine{3};
            machine.publish();
            for (std::size_t i = 0; i < step; ++i) {
                machine.take(Action::create);
                machine.answered(Answer::done);
            }
            machine.take(Action::create);
            machine.answered(answer);
            // What is another's is not touched; what nobody knows is.
            const auto there = step + (answer == Answer::failed ? 1 : 0);
            for (auto left = there; left > 0; --left) {
                EXPECT_EQ(machine.take(Action::remove), left - 1);
                machine.answered(Answer::done);
            }
            EXPECT_EQ(machine.state(), State::gone);
            EXPECT_FALSE(machine.take(Action::create));
        }
    }
}

TEST(RegistrationMachine, WithdrawnWhileARecordIsWrittenItWaitsForTheAnswer) {
    for (const auto answer : {Answer::done, Answer::failed, Answer::taken}) {
        RegistrationMachine machine{2};
        machine.publish();
        machine.take(Action::create);
        EXPECT_TRUE(machine.withdraw());
        EXPECT_EQ(machine.state(), State::draining);
        EXPECT_FALSE(machine.take(Action::remove)) << "the answer may still add one";
        machine.answered(answer);
        const bool there = answer != Answer::taken;
        EXPECT_EQ(machine.state(), there ? State::draining : State::gone);
        EXPECT_EQ(machine.take(Action::remove).has_value(), there);
    }
}

TEST(RegistrationMachine, TheLeaseRecoversEndsAndIsContested) {
    auto machine = published(1);
    machine.lease_is(LeaseState::recovering, false);
    EXPECT_EQ(machine.state(), State::recovering);
    machine.lease_is(LeaseState::alive, true);
    EXPECT_EQ(machine.state(), State::recovering) << "somebody else holds it";
    machine.lease_is(LeaseState::alive, false);
    EXPECT_EQ(machine.state(), State::registered);
    machine.lease_is(LeaseState::revoked, false);
    EXPECT_EQ(machine.state(), State::gone);
    EXPECT_TRUE(machine.confirmed());
    machine.lease_is(LeaseState::alive, false);
    EXPECT_EQ(machine.state(), State::gone) << "for good";

    auto late = published(1);
    late.withdraw();
    late.take(Action::remove);
    late.answered(Answer::given_up);
    EXPECT_EQ(late.state(), State::gone);
    EXPECT_FALSE(late.confirmed());
    late.lease_is(LeaseState::revoked, false);
    EXPECT_TRUE(late.confirmed()) << "the lease has taken it along";
}

TEST(RegistrationMachine, NothingWithdrawnIsNothingToDo) {
    RegistrationMachine machine{2};
    EXPECT_TRUE(machine.withdraw());
    EXPECT_EQ(machine.state(), State::gone);
    EXPECT_FALSE(machine.publish());
    EXPECT_TRUE(machine.confirmed());
}

/// Whatever happens in whatever order: only the changes of state that there are, one step at a
/// time, records written upwards and taken back downwards, and an end without steps.
TEST(RegistrationMachine, NoOrderOfEventsLeavesItsStates) {
    const std::set<std::pair<State, State>> changes{
        {State::unregistered, State::registering},
        {State::unregistered, State::gone},
        {State::registering, State::registered},
        {State::registering, State::draining},
        {State::registering, State::gone},
        {State::registered, State::recovering},
        {State::registered, State::draining},
        {State::registered, State::gone},
        {State::recovering, State::registered},
        {State::recovering, State::draining},
        {State::recovering, State::gone},
        {State::draining, State::gone},
    };
    std::set<std::pair<State, State>> seen;
    for (std::uint64_t seed = 0; seed < 20'000; ++seed) {
        Random random{seed};
        const auto records = 1 + random.below(3);
        RegistrationMachine machine{records};
        Action under_way = Action::none;
        std::set<std::size_t> there;
        for (int event = 0; event < 30; ++event) {
            const auto before = machine.state();
            switch (random.below(8)) {
                case 0:
                    machine.publish();
                    break;
                case 1:
                    if (random.below(4) == 0) machine.withdraw();
                    break;
                case 2:
                    machine.lease_is(static_cast<LeaseState>(1 + random.below(2)), false);
                    break;
                case 3:
                    machine.lease_is(LeaseState::alive, random.below(2) == 0);
                    break;
                case 4:
                    if (random.below(6) == 0) machine.lease_is(LeaseState::revoked, false);
                    break;
                default: {
                    if (under_way == Action::none) {
                        for (const auto wanted : {Action::create, Action::remove}) {
                            const auto record = machine.take(wanted);
                            if (!record) continue;
                            ASSERT_EQ(under_way, Action::none) << seed;
                            under_way = wanted;
                            ASSERT_LT(*record, records) << seed;
                            ASSERT_EQ(*record + (wanted == Action::remove ? 1 : 0), there.size());
                        }
                        break;
                    }
                    const auto answer = static_cast<Answer>(1 + random.below(4));
                    if (under_way == Action::create) {
                        if (answer == Answer::given_up) break;
                        if (answer != Answer::taken) there.insert(there.size());
                    } else {
                        if (answer == Answer::taken) break;
                        if (answer != Answer::failed) there.erase(there.size() - 1);
                    }
                    under_way = Action::none;
                    machine.answered(answer);
                }
            }
            const auto after = machine.state();
            if (before != after) {
                ASSERT_TRUE(changes.contains({before, after}))
                    << seed << ": " << to_string(before) << " -> " << to_string(after);
                seen.emplace(before, after);
            }
            if (after == State::gone && under_way == Action::none) {
                ASSERT_FALSE(machine.take(Action::create) || machine.take(Action::remove)) << seed;
            }
        }
    }
    EXPECT_EQ(seen, changes) << "each was reached";
}

}  // namespace
}  // namespace stator::discovery
