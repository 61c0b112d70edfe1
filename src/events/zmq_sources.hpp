// ZmqSources: the publishers that one subscriber hears, as discovery lists them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "events/zmq_intake.hpp"
#include "stator/events/channel_record.hpp"
#include "stator/store/watch_diff.hpp"

namespace stator::events {

/// Loop-affine; hears nobody any more once it is gone.
class ZmqSources {
public:
    ZmqSources(std::shared_ptr<ZmqIntake> intake, std::shared_ptr<EventQueue> queue);
    ZmqSources(const ZmqSources&) = delete;
    ZmqSources& operator=(const ZmqSources&) = delete;
    ~ZmqSources();

    /// One that discovery does not list any more. It is still heard: its last events may be on
    /// their way.
    struct Left {
        std::string key;
        std::uint64_t time = 0;  ///< it has come for
    };
    std::vector<Left> apply(store::WatchEvent event);
    /// It is not heard any more, unless it has come again.
    void let_go(const Left& who);

private:
    struct Source {
        std::uint64_t publisher = 0;
        std::string endpoint;
        std::uint64_t time = 0;
        bool listed = true;
    };
    void come(const std::string& key, const std::string& record);
    void drop(const Source& source);

    const std::shared_ptr<ZmqIntake> intake_;
    const std::shared_ptr<EventQueue> queue_;
    store::WatchDiff diff_;
    std::map<std::string, Source> sources_;  // by key
    std::uint64_t times_ = 0;
};

}  // namespace stator::events
