/* Calls within calls, in code without frame pointers but with tables for unwinding. */

extern int input;
int input = 3;
volatile int sink;

__attribute__((noinline)) void innermost(const int *p)
{
    sink += *p;
}

/* Its frame is as large as is asked for, so only the tables say where the caller is. */
__attribute__((noinline)) int recurse(int depth)
{
    int local[5 + 0];
    for (int i = 0; i < 5; i++)
        local[i] = depth + i;
    if (depth == 0)
        innermost(local);
    else
        recurse(depth - 1);
    return local[depth] + sink;
}

__attribute__((noinline)) int with_a_variable_frame(int n)
{
    volatile char room[n * 16];
    room[0] = 1;
    return recurse(n) + room[0];
}

int main(void)
{
    return with_a_variable_frame(input) + 1;
}
