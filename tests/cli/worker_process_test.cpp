#include "cli/worker_process.hpp"

#include <unistd.h>

#include <string>

#include <gtest/gtest.h>

namespace stator::cli {
namespace {

using namespace std::chrono_literals;

const std::string header =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
    "inode\n";

std::string line(const char* local, const char* state, const char* inode) {
    return "   0: " + std::string{local} + " 00000000:0000 " + state +
           " 00000000:00000000 00:00000000 00000000     0        0 " + inode +
           " 1 0000000000000000 100 0 0 10 0\n";
}

TEST(ListeningInode, OfTheAddress) {
    const auto table = header + line("0100007F:1F90", "0A", "11") +
                       line("0200007F:1F90", "0A", "12") + line("0100007F:1F91", "0A", "13");
    EXPECT_EQ(listening_inode(table, "127.0.0.1", 8080), 11U);
    EXPECT_EQ(listening_inode(table, "127.0.0.2", 8080), 12U);
    EXPECT_EQ(listening_inode(table, "127.0.0.1", 8081), 13U);
    EXPECT_FALSE(listening_inode(table, "127.0.0.3", 8080).has_value());
    EXPECT_FALSE(listening_inode(table, "127.0.0.1", 80).has_value());
}

TEST(ListeningInode, NotOfAConnection) {
    const auto table = header + line("0100007F:1F90", "01", "11");
    EXPECT_FALSE(listening_inode(table, "127.0.0.1", 8080).has_value());
}

TEST(ListeningInode, OneBoundToAllAddressesTakesTheRest) {
    const auto table =
        header + line("00000000:1F90", "0A", "11") + line("0100007F:1F90", "0A", "12");
    EXPECT_EQ(listening_inode(table, "127.0.0.1", 8080), 12U);
    EXPECT_EQ(listening_inode(table, "10.1.2.3", 8080), 11U);
}

TEST(ListeningInode, OfVersion6) {
    const auto table = header + line("00000000000000000000000001000000:1F90", "0A", "11");
    EXPECT_EQ(listening_inode(table, "::1", 8080), 11U);
    EXPECT_FALSE(listening_inode(table, "::2", 8080).has_value());
    const auto all = header + line("00000000000000000000000000000000:1F90", "0A", "12");
    EXPECT_EQ(listening_inode(all, "127.0.0.1", 8080), 12U);
}

TEST(ListeningInode, NothingInWhatIsNoTable) {
    EXPECT_FALSE(listening_inode("", "127.0.0.1", 8080).has_value());
    EXPECT_FALSE(listening_inode(header + "x\n1: 2:3\n", "127.0.0.1", 8080).has_value());
    EXPECT_FALSE(listening_inode(header, "worker.example", 8080).has_value());
}

TEST(ListeningProcess, NothingForWhatIsElsewhere) {
    EXPECT_FALSE(listening_process("worker.example:80").has_value());
    EXPECT_FALSE(listening_process("192.0.2.1:80").has_value());
    EXPECT_FALSE(listening_process("nonsense").has_value());
}

TEST(CpuTime, OfThisProcessIsTheSameByBothClocks) {
    const auto before = cpu_time_of(::getpid());
    ASSERT_TRUE(before.has_value());
    while (*cpu_time_of(::getpid()) < *before + 20ms) {
    }
    const auto difference = own_cpu_time() - *cpu_time_of(::getpid());
    EXPECT_LT(std::chrono::abs(difference), 15ms);
}

TEST(CpuTime, NothingOfNobody) { EXPECT_FALSE(cpu_time_of(0x7FFFFFF).has_value()); }

}  // namespace
}  // namespace stator::cli
