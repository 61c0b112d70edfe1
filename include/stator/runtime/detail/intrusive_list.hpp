// A doubly linked list whose links live in its members: no allocation, removal in O(1).
#pragma once

#include <cstddef>

namespace stator::inline runtime::detail {

template <class Tag>
struct ListLink {
    ListLink* previous = nullptr;
    ListLink* next = nullptr;
    bool linked() const noexcept { return next != nullptr; }
};

/// Members derive from ListLink<Tag>. The list does not own them. Guarded by whoever guards its
/// owner.
template <class T, class Tag>
class IntrusiveList {
public:
    using Link = ListLink<Tag>;
    IntrusiveList() noexcept { clear(); }
    IntrusiveList(const IntrusiveList&) = delete;
    IntrusiveList& operator=(const IntrusiveList&) = delete;

    bool empty() const noexcept { return head_.next == &head_; }
    void push_back(T& member) noexcept {
        Link& link = member;
        link.previous = head_.previous;
        link.next = &head_;
        head_.previous->next = &link;
        head_.previous = &link;
    }
    static void remove(T& member) noexcept {
        Link& link = member;
        link.previous->next = link.next;
        link.next->previous = link.previous;
        link.next = link.previous = nullptr;
    }
    T& front() noexcept { return static_cast<T&>(*head_.next); }
    /// The one after `member`, null at the end.
    T* after(T& member) noexcept {
        Link* next = static_cast<Link&>(member).next;
        return next == &head_ ? nullptr : static_cast<T*>(next);
    }
    T& pop_front() noexcept {
        T& member = front();
        remove(member);
        return member;
    }
    /// Moves every member of `other` to the end of this list.
    void splice(IntrusiveList& other) noexcept {
        if (other.empty()) return;
        other.head_.next->previous = head_.previous;
        other.head_.previous->next = &head_;
        head_.previous->next = other.head_.next;
        head_.previous = other.head_.previous;
        other.clear();
    }
    /// Calls `visit(member)` for each; `visit` may remove that member.
    template <class Visit>
    void for_each(Visit visit) {
        for (Link* link = head_.next; link != &head_;) {
            Link* next = link->next;
            visit(static_cast<T&>(*link));
            link = next;
        }
    }

private:
    void clear() noexcept { head_.next = head_.previous = &head_; }
    Link head_;
};

}  // namespace stator::inline runtime::detail
