from service.appointments import EAGERNESS, LONGEST_SECONDS, Appointments


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def after_serving(rate: float, seconds: float = 60.0) -> tuple[Appointments, Clock]:
    """Appointments of a service that has served `rate` radiographs per second for a while."""
    clock = Clock()
    appointments = Appointments(2, first_rate=1.0, clock=clock)
    for _ in range(int(rate * seconds)):
        clock.now += 1 / rate
        appointments.count_served()
    return appointments, clock


def test_lone_client_comes_back_after_the_shortest_time() -> None:
    appointments, clock = after_serving(10)
    for _ in range(3):
        assert appointments.next_seconds() == 2
        clock.now += 2


def test_crowd_comes_back_as_fast_as_it_can_be_served() -> None:
    appointments, _ = after_serving(20)
    times = [appointments.next_seconds() for _ in range(500)]
    assert times == sorted(times)
    most = max(times.count(second) for second in range(3, max(times)))
    assert 20 <= most <= 1.1 * 20 * EAGERNESS
    assert 500 / 20 / EAGERNESS <= times[-1] <= 500 / 20 + 3


def test_slow_or_idle_service_asks_nobody_to_wait_for_ever() -> None:
    appointments, clock = after_serving(1)
    clock.now += 3600
    assert appointments.next_seconds() == 2
    assert max(appointments.next_seconds() for _ in range(1000)) == LONGEST_SECONDS
