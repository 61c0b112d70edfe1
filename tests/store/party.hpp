// A process's part in a test of several.
#pragma once

#include <memory>
#include <utility>

#include <gtest/gtest.h>

#include "tests/store/store_fixture.hpp"

namespace stator::test {

/// Has loops of its own, so that it can be held up alone, and a store on one of them.
template <class Store>
class PartyOf {
public:
    /// `open(loop)` is a task of a shared_ptr<Store>.
    template <class Open>
    explicit PartyOf(Open open) {
        auto opened = loops_.run(open(loops_.secondary()));
        EXPECT_TRUE(opened) << opened.error().what();
        if (opened) store_ = *opened;
    }
    PartyOf(const PartyOf&) = delete;
    PartyOf& operator=(const PartyOf&) = delete;
    ~PartyOf() { close(Deadline::in(5s)); }

    void close(Deadline deadline) {
        if (store_) EXPECT_RUNS(loops_, store_->close(deadline));
        store_ = nullptr;
    }
    Loops& loops() { return loops_; }
    const std::shared_ptr<Store>& store() const { return store_; }

private:
    Loops loops_;
    std::shared_ptr<Store> store_;
};

}  // namespace stator::test
