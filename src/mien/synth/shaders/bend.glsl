// The neck: below the jaw everything turns with the torso, more and more on the way down.

uniform vec4 torso;  // axis and angle of the torso against the head
const vec3 NECK = vec3(0.0, -8.5, -2.0);

float bend_weight(vec3 p) {
    return smoothstep(6.5, 16.5, -(p.y + 0.4 * clamp(p.z, -8.0, 12.0)));
}

vec3 turn(vec3 p, float angle) {
    float c = cos(angle), s = sin(angle);
    return p * c + cross(torso.xyz, p) * s + torso.xyz * dot(torso.xyz, p) * (1.0 - c);
}

void bend(inout vec3 p, inout vec3 direction) {
    float angle = bend_weight(p) * torso.w;
    p = turn(p - NECK, angle) + NECK;
    direction = turn(direction, angle);
}
