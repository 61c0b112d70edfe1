// The Asio side of a Loop.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "stator/base/clock.hpp"

namespace stator::inline runtime::detail {

struct Reactor {
    boost::asio::io_context io{1};
    // Keeps run_one() waiting while nothing is registered.
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard{io.get_executor()
    };
    boost::asio::steady_timer timer{io};
    TimePoint armed = TimePoint::max();  // when `timer` fires; max: not waiting

    /// Makes run_one() return at `when` or earlier.
    void wake_at(TimePoint when);
};

}  // namespace stator::inline runtime::detail
